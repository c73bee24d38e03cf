"""What every router must do, and what is special about each."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, TokenMix
from polyray.routing import ROUTERS, FixedRouter, HyperFormer, LearnedRouter, RoutingOptions, TokenMoE

TASKS = ("agnews", "cola", "mnli", "sst2")
ALLOCATION = {"agnews": (0,), "cola": (1, 2), "mnli": (0, 2), "sst2": (1,)}
LAYOUT = Layout(sites=("a.q", "a.v", "b.q"), widths=(6, 6, 4), n_heads=2)
LEARNED = ("polytropon", "soft", "hard")
NORMALISED = [name for name in ROUTERS if name not in ("hyperformer", "token_moe")]
NEW: dict[type, Callable[[Any, str], None]] = {
    LearnedRouter: lambda router, name: router.add_task(name, _seed(9)),
    HyperFormer: lambda router, name: router.add_task(name, _seed(9)),
    FixedRouter: lambda router, name: router.add_task(name, torch.ones(router.n_skills)),
    TokenMoE: lambda router, name: router.add_task(name),
}
every_router = pytest.mark.parametrize("name", ROUTERS)


def _seed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _router(name: str, seed: int = 0, spread: float = 1.0, **options: Any) -> Any:
    chosen = RoutingOptions(**{"n_skills": 5, "top": 2, "allocation": ALLOCATION, **options})
    router = ROUTERS[name](TASKS, LAYOUT, chosen, _seed(seed))
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
    if not isinstance(one, FixedRouter):
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
    NEW[type(router)](router, "rte")
    for key, value in router.state_dict().items():
        old = value
        for axis, size in enumerate(before[key].shape):
            old = old.narrow(axis, 0, size)
        assert torch.equal(old, before[key])
    assert torch.allclose(_weights(router(TASKS)), mixed, rtol=0, atol=1e-6)
    assert router.tasks.names == (*TASKS, "rte")
    assert len(_weights(router(["rte"]))) > 0
    with pytest.raises(InputError, match="a task called 'rte' already"):
        NEW[type(router)](router, "rte")


@every_router
def test_probabilities_lie_between_zero_and_one(name: str) -> None:
    if name == "token_moe":
        return  # has no allocation of tasks
    router = _router(name)
    cells = router.probabilities()
    assert cells.shape[1:] == (len(TASKS), router.n_skills)
    assert ((cells >= 0) & (cells <= 1)).all()


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


@pytest.mark.parametrize(("init", "like"), [("uniform", None), ("mean", None), ("copy", "cola")])
def test_a_new_row_is_drawn_or_made_from_the_known_ones(init: Any, like: str | None) -> None:
    router = _router("polytropon")
    old = router.logits.detach().clone()
    router.add_task("rte", _seed(9), init=init, like=like)
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
    router.add_task("rte", torch.tensor([0.0, 0, 0, 0, 1]))
    assert torch.equal(router.table, torch.eye(5))


def test_hyperformer_mixes_the_hidden_units_of_its_generator() -> None:
    router = _router("hyperformer")
    found = _weights(router(["cola"]))[0, 1, 0]
    wanted = (router.embedding[1, 1] @ router.weight[1]).clamp_min(0)
    assert torch.allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("polytropon", {"temperature": 0.0}, r"routing\.temperature is 0\.0"),
        ("token_moe", {"top": 6}, r"routing\.top is 6; it must lie in 1 to 5"),
        ("expert", {"allocation": {"cola": (0,)}}, "no skill for task 'agnews' \\(3 tasks lack one\\)"),
        ("expert", {"allocation": {**ALLOCATION, "cola": (-1,)}}, "numbers skills from 0, found -1"),
    ],
)
def test_wrong_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _router(name, **options)


def test_hard_routing_needs_as_many_skills_as_it_keeps() -> None:
    with pytest.raises(InputError, match=r"routing\.top is 0"):
        _router("hard", top=0)(["cola"])


def test_token_routing_needs_linear_sites() -> None:
    layout = Layout(sites=("a", "embedding"), widths=(4, 0))
    with pytest.raises(InputError, match="site 'embedding' is not"):
        ROUTERS["token_moe"](TASKS, layout, RoutingOptions(), _seed(0))
