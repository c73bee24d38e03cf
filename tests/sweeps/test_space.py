"""A space: draws, conditions, and what a config makes of it."""

import random
from dataclasses import replace

import pytest

from polyray.config import Section, load_config
from polyray.errors import InputError
from polyray.sweeps.checking import check_space
from polyray.sweeps.fields import Field, IntRange, LogUniform, OneOf, Uniform, Value
from polyray.sweeps.space import Goal, Space


class Router(Section):
    kind: str = "soft"
    temperature: float = 1.0
    top: int = 1


class Config(Section):
    router: Router = Router()
    lr: float = 0.1
    names: tuple[str, ...] = ("a",)


def space_of(**fields: Field) -> Space:
    return Space(about="", job="walk", goal=Goal("mean"), fields={k.replace("__", "."): v for k, v in fields.items()})


CHAIN = space_of(
    router__top=IntRange(1, 3, only_with={"router.kind": ("hard",), "lr": (0.2,)}),
    lr=OneOf((0.1, 0.2), only_with={"router.kind": ("soft", "hard")}),
    router__kind=OneOf(("soft", "hard", "shared")),
)


def test_fields_are_drawn_after_those_they_depend_on_and_only_where_they_are_read() -> None:
    assert CHAIN.order == ("router.kind", "lr", "router.top")
    drawn = [CHAIN.draw(random.Random(seed)) for seed in range(60)]
    shapes = {(d["router.kind"], d.get("lr"), "router.top" in d) for d in drawn}
    assert shapes == {
        ("soft", 0.1, False), ("soft", 0.2, False), ("hard", 0.1, False), ("hard", 0.2, True), ("shared", None, False)
    }  # fmt: skip
    assert drawn == [CHAIN.draw(random.Random(seed)) for seed in range(60)]


def test_values_that_are_not_read_are_left_out_and_lists_become_tuples() -> None:
    values = {"router.kind": "shared", "lr": 0.2, "router.top": 2, "other": 1}
    assert CHAIN.read(values) == {"router.kind": "shared"}
    assert CHAIN.read({**values, "router.kind": "hard"}) == {"router.kind": "hard", "lr": 0.2, "router.top": 2}
    assert space_of(names=OneOf((("a",), ("b", "c")))).read({"names": ["b", "c"]}) == {"names": ("b", "c")}
    with pytest.raises(InputError, match="no value of lr"):
        CHAIN.read({"router.kind": "soft"})


def test_fields_that_the_user_set_are_not_varied_and_decide_conditions() -> None:
    def settled(**values: object) -> dict[str, dict[str, tuple[object, ...]]]:
        config = Config(router=Router.model_validate(values))
        return {name: dict(field.only_with) for name, field in CHAIN.settle(config, ["router.kind"]).fields.items()}

    assert settled(kind="hard") == {"lr": {}, "router.top": {"lr": (0.2,)}}
    with pytest.raises(InputError, match="Nothing is left to vary of router.top, lr, router.kind"):
        settled(kind="shared")
    assert settled(kind="soft") == {"lr": {}}


def test_settings_lie_under_what_the_user_typed() -> None:
    settings: dict[str, Value] = {"names": ("b", "c"), "router.top": 2, "router.kind": "x=1", "lr": 0.5}
    fields = {"router.temperature": Uniform(1, 2)}
    space = Space(about="", job="walk", goal=Goal("mean"), settings=settings, fields=fields)
    assert space.overrides(["a=1"]) == ['names=["b", "c"]', "router.top=2", "router.kind=x=1", "lr=0.5", "a=1"]
    assert space.overrides(["router={kind: b}", "lr=0.1"]) == ['names=["b", "c"]', "router={kind: b}", "lr=0.1"]
    config = load_config(Config, overrides=space.overrides([]))
    assert (config.names, config.router.top, config.router.kind, config.lr) == (("b", "c"), 2, "x=1", 0.5)
    check_space(space, Config)
    with pytest.raises(InputError, match="no field 'lrr'. Did you mean 'lr'"):
        check_space(replace(space, settings={"lrr": 0.5}), Config)
    with pytest.raises(InputError, match="router.top = 'x'"):
        check_space(replace(space, settings={"router.top": "x"}), Config)


def test_settings_count_where_the_config_meets_their_conditions() -> None:
    space = Space(
        about="", job="walk", goal=Goal("mean"), fields={"router.temperature": Uniform(1, 2)},
        settings={"router.top": 2, "lr": 0.5}, settings_only_with={"lr": {"router.kind": ("hard", "soft")}},
    )  # fmt: skip
    for kind, settings in (("hard", ["router.top=2", "lr=0.5"]), ("shared", ["router.top=2"])):
        decided = space.decide(Config(router=Router(kind=kind)))
        assert decided.overrides([]) == settings and not decided.settings_only_with
    with pytest.raises(InputError, match="no field 'routr.kind'. Did you mean 'router.kind'"):
        check_space(replace(space, settings_only_with={"lr": {"routr.kind": ("hard",)}}), Config)


def test_conditions_on_fields_outside_of_the_space_are_decided_by_the_config() -> None:
    space = space_of(
        lr=Uniform(0, 1, only_with={"names": (("a",), ("b",))}),
        router__temperature=Uniform(1, 2, only_with={"lr": (0.1,)}),
    )
    assert list(space_of(lr=Uniform(0, 1, only_with={"names": (("a",),)})).settle(Config()).fields) == ["lr"]
    alone = space.settle(Config(names=("c",), lr=0.1), ["lr"])
    assert list(alone.fields) == ["router.temperature"] and not alone.fields["router.temperature"].only_with


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "at least one field"),
        (
            {"lr": OneOf((1,), only_with={"x": (1,)}), "x": OneOf((1,), only_with={"lr": (1,)})},
            "in a circle: lr -> x -> lr",
        ),
        ({"lr": OneOf((1,), only_with={"lr": (1,)})}, "in a circle: lr -> lr"),
        ({"lr": OneOf((1,), only_with={"x": ()})}, "lr is only_with no value of x"),
        (
            {"lr": OneOf((1,), only_with={"x": ("sofd",)}), "x": OneOf(("soft",))},
            "lr is only_with x=sofd, but 'sofd' is not among 'soft'",
        ),
    ],
)
def test_a_space_that_contradicts_itself_is_refused(fields: dict[str, Field], message: str) -> None:
    with pytest.raises(InputError, match=message):
        space_of(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lrr": Uniform(0, 1)}, "the job walk has no field 'lrr'. Did you mean 'lr'?"),
        ({"lr": Uniform(0, 1, only_with={"rooter.kind": ("a",)})}, "'rooter.kind'. Did you mean 'router.kind'"),
        ({"router": OneOf((1,))}, "no field 'router'"),
        ({"lr": OneOf((0.1, "fast"))}, "lr = 'fast' .trial.: expected a number"),
        ({"router__top": LogUniform(1, 9)}, "router.top = .* expected an integer"),
        (
            {"router__kind": OneOf(("a", "b")), "router__top": OneOf((1, "x"), only_with={"router.kind": ("b",)})},
            "router.top = 'x'",
        ),
    ],
)
def test_a_space_whose_draws_are_no_configs_is_refused(fields: dict[str, Field], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_space(space_of(**fields), Config)


def test_values_are_laid_over_the_config_that_the_user_gives() -> None:
    space = space_of(router__temperature=Uniform(0.5, 2))
    check_space(space, Config, overrides=["lr=0.3"])
    with pytest.raises(InputError, match="lrr"):
        check_space(space, Config, overrides=["lrr=0.3"])
