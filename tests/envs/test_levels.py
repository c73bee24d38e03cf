"""The table of levels agrees with minigrid, and levels are chosen by suite or by name."""

from dataclasses import replace
from typing import Any

import gymnasium
import minigrid
import pytest

from polyray.envs.generation.variants import class_of
from polyray.envs.levels import EXPERT, LEVELS, SUITES, Level, levels_of
from polyray.errors import InputError


def test_the_levels_are_all_that_minigrid_registers() -> None:
    assert minigrid.__version__
    registered = sorted(env_id for env_id in gymnasium.registry if env_id.startswith("BabyAI-"))
    assert sorted(level.env_id for level in LEVELS.values()) == registered
    assert len(LEVELS) == 96


def test_class_and_options_of_every_level_are_those_that_minigrid_registers() -> None:
    wrong = []
    for level in LEVELS.values():
        spec = gymnasium.spec(level.env_id)
        registered = str(spec.entry_point).removeprefix("minigrid.envs.babyai:"), spec.kwargs
        wrong += [level.name] if class_of(level) != registered else []
    assert not wrong


def test_class_and_options_of_a_level_of_ones_own_come_from_gymnasium(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium, "registry", dict(gymnasium.registry))
    monkeypatch.setattr("gymnasium.envs.registration.registry", gymnasium.registry)
    gymnasium.register(id="MyTown-v0", entry_point="minigrid.envs.babyai:GoTo", kwargs={"room_size": 5})
    mine = replace(LEVELS["GoTo"], name="MyTown", env_id="MyTown-v0", width=13, height=13)
    assert class_of(mine) == ("GoTo", {"room_size": 5})


def shape(level: Level) -> tuple[int, int, int, int]:
    """Width, height, rooms and step limit of minigrid's environment; ours where that follows from the instruction."""
    env: Any = gymnasium.make(level.env_id).unwrapped
    return env.width, env.height, env.num_rows * env.num_cols, env.max_steps if env.fixed_max_steps else level.max_steps


def test_every_levels_grid_rooms_and_step_limit_are_minigrids() -> None:
    ours = {
        level.name: (level.width, level.height, level.rooms, level.max_steps, shape(level)) for level in LEVELS.values()
    }
    assert {name: values for name, values in ours.items() if values[:4] != values[4]} == {}


def test_every_suite_holds_levels_of_the_table() -> None:
    for names in SUITES.values():
        assert set(names) <= set(LEVELS) and len(set(names)) == len(names)
    assert len(SUITES["paper8"]) == 8 and set(EXPERT) == set(SUITES["paper8"])


def test_the_expert_allocation_follows_the_competencies() -> None:
    skills = ("room", "distr_box", "distr", "goto", "put", "pickup", "loc", "maze")
    for name, allocated in EXPERT.items():
        assert {skills[skill] for skill in allocated} == set(LEVELS[name].competencies)


def test_levels_are_chosen_by_suite_or_by_name() -> None:
    assert [level.name for level in levels_of("paper8", ())] == list(SUITES["paper8"])
    assert levels_of(None, ["GoTo", "GoToObjS6"])[1].env_id == "BabyAI-GoToObjS6-v1"


def test_a_wrong_choice_of_levels_is_explained() -> None:
    wrong: list[tuple[str | None, list[str], str]] = [
        (None, ["GoToLokal"], "Did you mean 'GoToLocal'"),
        ("paper9", [], "Did you mean 'paper8'"),
        (None, [], "neither is given"),
        ("paper8", ["GoTo"], "both are given"),
        (None, ["GoTo", "GoTo"], "more than once"),
    ]
    for suite, names, message in wrong:
        with pytest.raises(InputError, match=message):
            levels_of(suite, names)
