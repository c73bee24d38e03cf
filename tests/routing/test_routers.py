"""The contract of every router, and the special behaviour of each."""

from typing import Any

import pytest
import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, TokenMix
from polyray.routing import ROUTERS, NewRow, RoutingOptions
from polyray.routing.prior import ibp_log_prior

TASKS = ("agnews", "cola", "mnli", "sst2")
ALLOCATION = {"agnews": (0,), "cola": (1, 2), "mnli": (0, 2), "sst2": (1,)}
LAYOUT = Layout(sites=("a.q", "a.v", "b.q"), widths=(6, 6, 4), n_heads=2)
LEARNED = ("polytropon", "soft", "hard")
NORMALISED = [name for name in ROUTERS if name not in ("hyperformer", "token_moe")]
ROW = NewRow(skills=(0,))
every_router = pytest.mark.parametrize("name", ROUTERS)


def _seed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _options(name: str, **options: Any) -> Any:
    """Options of a router: of the usual ones below those that it has, and `options`."""
    fields = ROUTERS[name].Options.model_fields
    usual = {"n_skills": 5, "top": 2, "allocation": ALLOCATION}
    return ROUTERS[name].Options(**{**{key: value for key, value in usual.items() if key in fields}, **options})


def _router(name: str, seed: int = 0, spread: float = 1.0, **options: Any) -> Any:
    router = ROUTERS[name](TASKS, LAYOUT, _options(name, **options), _seed(seed))
    with torch.no_grad():
        for parameter in router.parameters():  # away from the symmetric start, where all routers agree
            parameter.add_(torch.randn(parameter.shape, generator=_seed(seed + 1)), alpha=spread)
    return router


def _weights(mix: Mix | TokenMix) -> Tensor:
    """[batch, sites, heads, skills], or a token router's gates in one line."""
    if isinstance(mix, TokenMix):
        return torch.cat([gate.flatten() for gate in mix.gates.values()])
    return mix.dense()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NORMALISED)
def test_rows_sum_to_one(name: str, training: bool) -> None:
    mix = _router(name).train(training)(["mnli", "cola", "mnli"], _seed(2))
    weights = _weights(mix)
    assert len(weights) == 3
    assert (weights > -1e-6).all()
    assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)


@every_router
def test_evaluation_is_repeatable(name: str) -> None:
    router = _router(name).eval()
    first, second = (router(["mnli", "cola"], _seed(seed)) for seed in (2, 3))
    assert torch.equal(_weights(first), _weights(second))
    assert torch.equal(_weights(first), _weights(router(["mnli", "cola"])))


@every_router
def test_a_row_ignores_its_neighbours(name: str) -> None:
    router = _router(name).eval()
    if name == "token_moe":
        assert torch.equal(_weights(router(["mnli"])), _weights(router(["cola", "sst2"])))
        return
    alone = _weights(router(["mnli"]))[0]
    among = _weights(router(["sst2", "mnli", "agnews", "mnli"]))
    assert torch.allclose(among[1], alone, rtol=0, atol=1e-6)
    assert torch.equal(among[1], among[3])


@every_router
def test_a_seed_fixes_the_start_and_the_noise(name: str) -> None:
    one, same, other = _router(name, 0), _router(name, 0), _router(name, 1)
    tasks = ["mnli", "cola", "mnli"]
    drawn = [_weights(router.train()(tasks, _seed(2))) for router in (one, same, other)]
    assert torch.equal(drawn[0], drawn[1])
    if list(one.parameters()):
        assert not torch.equal(drawn[0], drawn[2])
    if name in LEARNED:
        assert not torch.equal(drawn[0], _weights(one(tasks, _seed(3))))


@every_router
def test_tasks_come_by_name_or_by_row(name: str) -> None:
    router = _router(name).eval()
    by_row = router(torch.tensor([2, 0]))
    assert torch.equal(_weights(by_row), _weights(router(["mnli", "agnews"])))
    for rows in ([4], [-1]):
        with pytest.raises(InputError, match="Task rows must lie in 0 to 3"):
            router(torch.tensor(rows))


@every_router
def test_an_unknown_task_names_the_nearest(name: str) -> None:
    with pytest.raises(InputError, match=r"No task is called 'ss2'\. Did you mean 'sst2'\?"):
        _router(name)(["mnli", "ss2"])


@every_router
def test_a_new_task_leaves_the_old_rows_bit_for_bit(name: str) -> None:
    router = _router(name).eval()
    before = {key: value.clone() for key, value in router.state_dict().items()}
    mixed = _weights(router(TASKS))
    router.add_task("rte", _seed(9), ROW)
    for key, value in router.state_dict().items():
        old = value
        for axis, size in enumerate(before[key].shape):
            old = old.narrow(axis, 0, size)
        assert torch.equal(old, before[key])
    assert torch.allclose(_weights(router(TASKS)), mixed, rtol=0, atol=1e-6)
    assert router.tasks.names == (*TASKS, "rte")
    assert len(_weights(router(["rte"]))) > 0
    with pytest.raises(InputError, match="a task called 'rte' already"):
        router.add_task("rte", _seed(9), ROW)


@every_router
def test_an_allocation_has_a_table_for_each_name_and_cells_between_zero_and_one(name: str) -> None:
    router = _router(name)
    allocation = router.allocation()
    if allocation is None:
        assert name == "token_moe"
        return
    assert allocation.probabilities.shape == (len(allocation.tables), len(TASKS), router.n_skills)
    assert allocation.tasks == TASKS
    assert ((allocation.probabilities >= 0) & (allocation.probabilities <= 1)).all()


def test_tables_of_an_allocation_are_named_after_sites_and_heads() -> None:
    heads = [f"{site} {head}" for site in LAYOUT.sites for head in range(2)]
    assert list(_router("polytropon").allocation().tables) == heads
    assert _router("polytropon", granularity="model").allocation().tables == ("all sites 0", "all sites 1")
    assert _router("hyperformer").allocation().tables == LAYOUT.sites
    assert _router("expert").allocation().tables == ("all sites",)
    one_head = Layout(sites=LAYOUT.sites, widths=LAYOUT.widths)
    allocation = ROUTERS["polytropon"](TASKS, one_head, _options("polytropon"), _seed(0)).allocation()
    assert allocation is not None and allocation.tables == LAYOUT.sites


def test_names_of_tasks_are_distinct_and_there_is_one_at_least() -> None:
    for names in ([], ["cola", "rte", "cola"]):
        with pytest.raises(InputError, match="tasks with distinct names, found"):
            _ = ROUTERS["shared"](names, LAYOUT, _options("shared"), _seed(0))


@every_router
def test_a_router_comes_back_from_its_state_with_the_tasks_that_were_added(name: str) -> None:
    router = _router(name).eval()
    router.add_task("rte", _seed(9), ROW)
    back = ROUTERS[name].from_state(router.tasks.names, LAYOUT, _options(name), router.state_dict()).eval()
    assert torch.equal(_weights(back(["rte", "cola"])), _weights(router(["rte", "cola"])))


@every_router
def test_a_router_for_a_new_task_knows_that_task_only_and_is_fixed_by_its_seed(name: str) -> None:
    router = _router(name)
    new, same = (router.for_task("rte", ["cola"], _seed(3), keep=True).eval() for _ in range(2))
    assert new.tasks.names == ("rte",)
    assert torch.equal(_weights(new(["rte"])), _weights(same(["rte"])))
    if not router.starts_afresh:
        assert new.n_skills == router.n_skills


def test_a_new_task_keeps_what_belongs_to_no_single_task() -> None:
    for name, parameter in (("hyperformer", "weight"), ("token_moe", "gates.0")):
        router = _router(name)
        remaining, drawn = (router.for_task("rte", [], _seed(3), keep=keep).state_dict() for keep in (True, False))
        assert torch.equal(remaining[parameter], router.state_dict()[parameter])
        assert not torch.equal(drawn[parameter], router.state_dict()[parameter])
    embedding = _router("hyperformer").for_task("rte", [], _seed(3), keep=True).state_dict()["embedding"]
    assert torch.allclose(embedding[:, 0], _router("hyperformer").embedding.mean(1))


def test_a_new_task_of_a_given_allocation_uses_the_skills_of_its_relatives_or_all() -> None:
    router = _router("expert")
    assert router.for_task("rte", ["cola", "sst2"], _seed(0), keep=True).table.tolist() == [[0, 1, 1]]
    assert router.for_task("rte", [], _seed(0), keep=True).table.tolist() == [[1, 1, 1]]
    assert _router("shared").for_task("rte", [], _seed(0), keep=True).table.tolist() == [[1]]
    private = _router("private")
    assert private.starts_afresh and private.for_task("rte", ["cola"], _seed(0), keep=True).table.tolist() == [[1]]


def test_tasks_with_equal_rows_have_the_same_mixture() -> None:
    assert _router("shared").same_mixture() == [0, 0, 0, 0]
    assert _router("private").same_mixture() == [0, 1, 2, 3]
    allocation = {"agnews": (0,), "cola": (1, 2), "mnli": (0,), "sst2": (2, 1)}
    assert _router("expert", allocation=allocation).same_mixture() == [0, 1, 0, 1]
    assert _router("polytropon").same_mixture() == [0, 1, 2, 3]
    assert _router("token_moe").same_mixture() == [0, 0, 0, 0]


def test_speeds_and_priors_are_those_of_the_paper() -> None:
    fast = {name for name in ROUTERS if ROUTERS[name].speed == "routing" and list(_router(name).parameters())}
    assert fast >= set(LEARNED) and not fast & {"shared", "private", "expert", "hyperformer", "token_moe"}
    router = _router("polytropon", ibp=0.5, ibp_alpha=2.0, ibp_columns="counts", ibp_centred=False)
    prior = ibp_log_prior(router.logits, alpha=2.0, columns="counts", centred=False)
    assert router.log_prior().item() == pytest.approx(0.5 * prior.item())
    assert [name for name in ROUTERS if _router(name).log_prior() is not None] == []


@pytest.mark.parametrize("name", [*LEARNED, "hyperformer"])
def test_granularity_chooses_an_allocation_for_each_site_or_one(name: str) -> None:
    assert _weights(_router(name, granularity="site")(["mnli"], _seed(2))).shape[1] == 3
    assert _weights(_router(name, granularity="model")(["mnli"], _seed(2))).shape[1] == 1


@pytest.mark.parametrize("name", LEARNED)
def test_learned_routers_start_symmetric_with_an_allocation_for_each_head(name: str) -> None:
    router = _router(name, spread=0.0)
    assert router.logits.shape == (3, 2, len(TASKS), 5)
    assert 5e-4 < router.logits.abs().max() <= 1e-3


@pytest.mark.parametrize("name", LEARNED)
def test_noise_belongs_to_examples_or_tasks_or_nobody(name: str) -> None:
    tasks = ["mnli", "cola", "mnli", "mnli"]
    by_example, by_task, by_nobody = (
        _router(name, sample=sample).train()(tasks, _seed(2)) for sample in ("example", "task", "none")
    )
    assert (by_example.rows.n_rows, by_task.rows.n_rows, by_nobody.rows.n_rows) == (4, 2, 2)
    assert not torch.equal(_weights(by_example)[0], _weights(by_example)[2])
    assert torch.equal(_weights(by_task)[0], _weights(by_task)[2])
    silent = _router(name).eval()(tasks)
    assert not torch.allclose(_weights(by_task), _weights(silent))
    assert torch.equal(_weights(by_nobody), _weights(silent))


@pytest.mark.parametrize(("init", "like"), [("uniform", ""), ("mean", ""), ("copy", "cola")])
def test_a_new_row_is_drawn_or_made_from_the_known_ones(init: Any, like: str) -> None:
    router = _router("polytropon")
    old = router.logits.detach().clone()
    router.add_task("rte", _seed(9), NewRow(init=init, like=like))
    row = router.logits[:, :, -1].detach()
    if init == "uniform":
        assert row.abs().max() <= 1e-3
    else:
        assert torch.allclose(row, old.mean(2) if init == "mean" else old[:, :, 1])


def test_the_gradient_of_hard_routing_is_that_of_softmax() -> None:
    gradients = []
    for name in ("hard", "soft"):
        router = _router(name, temperature=0.7).eval()
        (_weights(router(TASKS)) * torch.arange(5.0)).sum().backward()
        gradients.append(router.logits.grad)
    assert torch.equal(*gradients)
    hard = _weights(_router("hard").eval()(TASKS))
    assert torch.equal(hard.sort(-1).values, torch.tensor([0, 0, 0, 0.5, 0.5]).expand_as(hard))


def test_fixed_routers_hold_the_paper_s_tables() -> None:
    assert torch.equal(_router("shared").table, torch.ones(4, 1))
    assert torch.equal(_router("private").table, torch.eye(4))
    assert torch.equal(_router("expert").table, torch.tensor([[1.0, 0, 0], [0, 1, 1], [1, 0, 1], [0, 1, 0]]))
    assert torch.equal(_weights(_router("expert")(["cola"]))[0, 0, 0], torch.tensor([0, 0.5, 0.5]))


def test_a_new_private_task_brings_its_own_skill() -> None:
    router = _router("private")
    router.add_task("rte", _seed(0), NewRow())
    assert torch.equal(router.table, torch.eye(5))


def test_a_new_task_of_a_given_allocation_is_told_its_skills() -> None:
    router = _router("expert")
    with pytest.raises(InputError, match="needs the row of skills that the new task 'rte' uses"):
        router.add_task("rte", _seed(0), NewRow())
    router.add_task("rte", _seed(0), NewRow(skills=(1, 3)))
    assert router.table[-1].tolist() == [0, 1, 0, 1] and router.table[:-1, 3].tolist() == [0] * 4


def test_hyperformer_mixes_the_hidden_units_of_its_generator() -> None:
    router = _router("hyperformer")
    hidden = (router.embedding[1, 1] @ router.weight[1]).clamp_min(0)
    assert torch.allclose(_weights(router(["cola"]))[0, 1, 0], hidden, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("token_moe", {"top": 6}, r"routing\.top is 6; it must lie in 1 to 5"),
        ("expert", {"allocation": {"cola": (0,)}}, "no skill for task 'agnews' \\(3 tasks lack one\\)"),
        ("expert", {"allocation": {**ALLOCATION, "cola": (-1,)}}, "numbers skills from 0, found -1"),
    ],
)
def test_wrong_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _router(name, **options)


def test_hard_routing_needs_as_many_skills_as_it_keeps() -> None:
    with pytest.raises(InputError, match=r"routing\.top is 6"):
        _router("hard", top=6)


def test_options_out_of_range_are_refused_by_their_section() -> None:
    for name, options in (("hard", {"top": 0}), ("soft", {"temperature": 0.0}), ("polytropon", {"n_skills": 0})):
        with pytest.raises(ValueError, match=next(iter(options))):
            _options(name, **options)
    with pytest.raises(ValueError, match="No router is called 'polytropn'"):
        RoutingOptions(kind="polytropn")


def test_token_routing_needs_linear_sites() -> None:
    layout = Layout(sites=("a", "embedding"), widths=(4, 0))
    with pytest.raises(InputError, match="site 'embedding' is not"):
        ROUTERS["token_moe"](TASKS, layout, _options("token_moe"), _seed(0))
