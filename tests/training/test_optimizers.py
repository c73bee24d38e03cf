"""Rates, schedule, weight decay and clipping are what the options say."""

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import nn
from training_cases import SUITE, answers, rows_of, spec, tiny_model

from polyray.objectives import Batch
from polyray.training.data import Encoded
from polyray.training.loop import Training, fit
from polyray.training.model import Modular
from polyray.training.optimizers import OptimizerOptions, optimizer, set_rates


def model(routing: str = "polytropon", head: bool = False, **options: object) -> Modular:
    tasks = [SUITE.tasks[name] for name in ("colour", "size")]
    built = tiny_model("tiny-seq2seq", tasks, spec(routing, options))
    if head:
        built.heads["toy"] = nn.Linear(2, 2)
    return built


class Fixed:
    """The same batches over and over."""

    def __init__(self, of: Modular, data: Encoded, *indices: list[int]) -> None:
        self._batches = [data.objective.collate(of.backbone, [data.rows[i] for i in rows]) for rows in indices]
        self._n_drawn = 0

    def draw(self) -> Batch:
        self._n_drawn += 1
        return cast(Batch, self._batches[(self._n_drawn - 1) % len(self._batches)])


def training(of: Modular, options: OptimizerOptions, *indices: list[int], backbone_lr: float = 0.0) -> Training:
    data = rows_of(of, SUITE, [*answers("colour", 4), *answers("size", 4)])
    adam = optimizer(of, options, backbone_lr)
    noise = torch.Generator().manual_seed(0)
    return Training(model=of, forward=of, adam=adam, batches=Fixed(of, data, *indices), noise=noise)


def trained_state(of: Modular) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in of.named_parameters() if p.requires_grad}


def test_the_schedule_rises_linearly_over_the_warmup_and_falls_linearly_to_zero() -> None:
    of = model()
    adam = optimizer(of, OptimizerOptions(lr=1.0, routing_lr=10.0))
    rates = []
    for step in range(10):
        set_rates(adam, step, 10, warmup=0.4)
        rates.append([group["lr"] for group in adam.param_groups])
    # 4 of 10 steps of warm-up: 1/4, 2/4, 3/4, 1; then 6 steps from 1 down, of which the last ends at 0 in step 10
    skills = [0.25, 0.5, 0.75, 1.0, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    assert [rate for rate, _ in rates] == pytest.approx(skills)
    assert [rate for _, rate in rates] == pytest.approx([10 * rate for rate in skills])
    set_rates(adam, 0, 10, warmup=0.0)  # the first step of a schedule without warm-up has the peak
    assert adam.param_groups[0]["lr"] == 1.0


def groups(of: Modular, backbone_lr: float) -> dict[str, dict[str, Any]]:
    adam = optimizer(of, OptimizerOptions(lr=1e-3, routing_lr=1e-1, weight_decay=0.02), backbone_lr)
    return {group["name"]: group for group in adam.param_groups}


def test_each_group_has_its_own_rate_and_only_the_routing_is_not_decayed() -> None:
    of = model(head=True)
    by_name = groups(of, backbone_lr=1e-4)
    assert {name: (group["lr"], group["weight_decay"]) for name, group in by_name.items()} == {
        "skills": (1e-3, 0.02), "routing": (1e-1, 0.0), "heads": (1e-3, 0.02), "backbone": (1e-4, 0.02),
    }  # fmt: skip
    members = [id(p) for group in by_name.values() for p in group["params"]]
    assert len(members) == len(set(members)) and set(members) == {id(p) for p in of.parameters()}
    assert [id(p) for p in by_name["heads"]["params"]] == [id(p) for p in of.heads.parameters()]


def test_without_a_rate_the_backbone_is_frozen_and_in_no_group() -> None:
    of = model()
    assert set(groups(of, backbone_lr=0.0)) == {"skills", "routing"}
    modular = {id(p) for module in (of.inventory, of.router) for p in module.parameters()}
    assert all(p.requires_grad == (id(p) in modular) for p in of.parameters())


@pytest.mark.parametrize(("routing", "rate"), [("polytropon", 1e-1), ("hyperformer", 1e-3)])
def test_a_router_learns_at_the_speed_that_it_declares(routing: str, rate: float) -> None:
    assert groups(model(routing), backbone_lr=0.0)["routing"]["lr"] == rate


def scaled(of: Modular, factor: float) -> Callable[..., torch.Tensor]:
    forward = of.forward
    return lambda batch, generator=None: factor * forward(batch, generator)


def test_a_huge_gradient_moves_parameters_as_one_of_the_norm_clip() -> None:
    """With plain gradient steps of rate 1 the parameters move by the clipped gradient itself."""
    moves = {}
    for factor in (1.0, 1e6):
        of = model().train()
        options = OptimizerOptions(lr=1.0, routing_lr=1.0, clip=0.01, warmup=0.0, weight_decay=0.0)
        fitting = training(of, options, [0, 1, 4, 5])
        parameters = [p for group in fitting.adam.param_groups for p in group["params"]]
        fitting.adam = torch.optim.SGD([{"params": parameters, "lr": 1.0, "peak": 1.0, "name": "all"}])
        before = trained_state(of)
        of.forward = scaled(of, factor)  # type: ignore[method-assign]
        list(fit(fitting, options, 1, every=1))
        moves[factor] = torch.cat([(p - before[name]).flatten() for name, p in trained_state(of).items()])
    assert float(moves[1.0].norm()) == pytest.approx(0.01, rel=1e-3)
    torch.testing.assert_close(moves[1e6], moves[1.0], rtol=1e-3, atol=1e-7)


def test_weight_decay_shrinks_skills_and_leaves_the_routing() -> None:
    of = model()
    options = OptimizerOptions(lr=0.1, routing_lr=0.1, weight_decay=0.5, warmup=0.0)
    adam = optimizer(of, options)
    before = trained_state(of)
    for parameter in before:
        of.get_parameter(parameter).grad = torch.zeros_like(of.get_parameter(parameter))
    adam.step()
    for name, p in trained_state(of).items():
        factor = 1.0 if name.startswith("router.") else 1 - 0.1 * 0.5
        torch.testing.assert_close(p, factor * before[name])
