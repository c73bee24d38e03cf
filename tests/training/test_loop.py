"""The training loop: accumulation, precision, activation checkpointing, heads that no batch uses."""

import pytest
import torch
from test_optimizers import model, trained_state, training
from torch import nn

from polyray.training.loop import Precision, fit
from polyray.training.optimizers import OptimizerOptions

OPTIONS = OptimizerOptions(lr=1e-2, warmup=0.0, clip=1e9)
FIRST, SECOND = [0, 1, 4, 5], [2, 3, 6, 7]


def curve(*indices: list[int], accumulate: int = 1, precision: Precision = "fp32", steps: int = 3) -> list[float]:
    of = model()
    reports = fit(training(of, OPTIONS, *indices), OPTIONS, steps, every=1, accumulate=accumulate, precision=precision)
    return [report.loss for report in reports]


def test_accumulated_batches_of_equally_many_tokens_are_one_big_batch() -> None:
    states = []
    for indices, accumulate in (([0, 1, 4, 5, 3, 1, 7, 5],), 1), (([0, 1, 4, 5], [3, 1, 7, 5]), 2):  # red, blue, ...
        of = model(sample="none")
        fitting = training(of, OPTIONS, *indices)
        list(fit(fitting, OPTIONS, 2, every=1, accumulate=accumulate))
        states.append(trained_state(of))
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-4, atol=1e-5)


def test_bf16_follows_fp32_and_keeps_parameters_in_fp32() -> None:
    full, half = curve(FIRST), curve(FIRST, precision="bf16")
    assert half == pytest.approx(full, rel=2e-2) and half != full
    of = model()
    list(fit(training(of, OPTIONS, FIRST), OPTIONS, 1, every=1, precision="bf16"))
    assert {p.dtype for p in of.parameters()} == {torch.float32}


def test_activation_checkpointing_changes_no_loss() -> None:
    of = model()
    of.backbone.model.activation_checkpointing_enable({"use_reentrant": False})
    reports = fit(training(of, OPTIONS, FIRST, SECOND, backbone_lr=1e-3), OPTIONS, 4, every=1)
    checkpointed = [report.loss for report in reports]
    plain = model()
    reports = fit(training(plain, OPTIONS, FIRST, SECOND, backbone_lr=1e-3), OPTIONS, 4, every=1)
    assert checkpointed == pytest.approx([report.loss for report in reports], rel=1e-5)


def test_a_report_is_the_mean_of_the_losses_since_the_one_before_with_rates_and_tokens() -> None:
    each = curve(FIRST, SECOND, steps=4)
    of = model()
    reports = list(fit(training(of, OPTIONS, FIRST, SECOND), OPTIONS, 4, every=2))
    assert [report.step for report in reports] == [2, 4]
    assert [report.loss for report in reports] == pytest.approx([sum(each[:2]) / 2, sum(each[2:]) / 2])
    assert set(reports[0].rates) == {"skills", "routing"} and reports[0].tokens > 0


def test_a_head_that_no_batch_uses_has_a_gradient_of_zero_at_every_worker() -> None:
    of = model()
    of.heads["toy"] = nn.Linear(2, 2)
    gradients: list[list[torch.Tensor | None]] = []
    fitting = training(of, OPTIONS, FIRST)
    fitting.reduce = lambda parameters: gradients.append([p.grad for p in of.heads.parameters()])
    list(fit(fitting, OPTIONS, 1, every=1))
    assert all(gradient is not None and not gradient.any() for gradient in gradients[0])


def test_a_loss_that_is_no_number_stops_the_training() -> None:
    of = model()
    fitting = training(of, OPTIONS, FIRST)
    with torch.no_grad():
        next(of.inventory.parameters()).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"loss is nan after step 1: lower training\.lr"):
        list(fit(fitting, OPTIONS, 1, every=1))
