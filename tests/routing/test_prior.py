"""The Indian Buffet Process prior against its formula written out, and against numbers worked by hand."""

import math
from collections import Counter
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from polyray.routing.prior import ibp_log_prior


def _slow(table: list[list[int]], alpha: float) -> float:
    """Eq. 4 with factorials: K log a - sum_h log K_h! - a H_T + sum_j log (T - m_j)! (m_j - 1)! / T!."""
    tasks = len(table)
    columns = [column for column in zip(*table, strict=True) if any(column)]
    value = len(columns) * math.log(alpha)
    value -= sum(math.log(math.factorial(count)) for count in Counter(columns).values())
    value -= alpha * sum(1 / i for i in range(1, tasks + 1))
    for column in columns:
        m = sum(column)
        value += math.log(math.factorial(tasks - m) * math.factorial(m - 1) / math.factorial(tasks))
    return value


def _logits(table: list[list[int]]) -> Tensor:
    return (torch.tensor(table, dtype=torch.float64) * 2 - 1) * 3


def _plain(logits: Tensor, **options: Any) -> Tensor:
    return ibp_log_prior(logits, **{"centred": False, **options})


def test_one_skill_that_one_of_two_tasks_uses_has_the_value_worked_by_hand() -> None:
    """alpha 2: log 2 - log 1! - 2 (1 + 1/2) + log(1! 0! / 2!) = log 2 - 3 - log 2 = -3."""
    assert float(_plain(_logits([[1], [0]]), alpha=2.0)) == pytest.approx(-3)


@pytest.mark.parametrize("alpha", [0.5, 5.0])
@pytest.mark.parametrize(
    "table",
    [
        [[1, 0, 1], [0, 1, 1], [0, 1, 1], [1, 0, 0]],
        [[1, 1, 1], [0, 0, 0], [1, 1, 1]],  # three skills with one history
        [[1, 0, 0], [1, 0, 1]],  # a skill that nobody uses
        [[0, 0], [0, 0]],
        [[1, 1], [1, 1]],
    ],
)
def test_the_value_is_that_of_the_formula(table: list[list[int]], alpha: float) -> None:
    assert float(_plain(_logits(table), alpha=alpha)) == pytest.approx(_slow(table, alpha))


def test_sites_and_heads_are_averaged() -> None:
    tables = [[[1, 0], [1, 1]], [[0, 1], [0, 0]], [[1, 1], [1, 1]]]
    stacked = torch.stack([_logits(table) for table in tables])
    expected = sum(_slow(table, 5.0) for table in tables) / 3
    assert float(_plain(stacked)) == pytest.approx(expected)
    assert float(_plain(stacked[:, None])) == pytest.approx(expected)


def test_the_order_of_tasks_and_skills_does_not_matter() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value = float(_plain(logits))
    assert float(_plain(logits.flip(0))) == pytest.approx(value)
    assert float(_plain(logits.flip(1))) == pytest.approx(value)


@pytest.mark.parametrize("columns", ["exact", "counts"])
def test_centring_makes_distinct_half_full_columns_zero(columns: Literal["exact", "counts"]) -> None:
    logits = _logits([[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0]])
    assert float(ibp_log_prior(logits, columns=columns)) == pytest.approx(0, abs=1e-9)


def test_centring_changes_no_gradient() -> None:
    gradients = []
    for centred in (True, False):
        logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
        ibp_log_prior(logits, centred=centred).backward()
        assert logits.grad is not None
        gradients.append(logits.grad)
    assert torch.equal(*gradients)


def test_counting_tables_instead_of_columns_leaves_minus_log_m_and_prefers_few_tasks() -> None:
    logits = _logits([[1, 1], [0, 1], [0, 1], [0, 0]]).requires_grad_()
    value = _plain(logits, alpha=1.0, columns="counts")
    assert value.item() == pytest.approx(-math.log(1) - math.log(3) - (1 + 1 / 2 + 1 / 3 + 1 / 4))
    value.backward()
    assert logits.grad is not None
    assert (logits.grad < 0).all()


def test_the_gradient_pulls_a_column_to_its_nearer_end() -> None:
    logits = _logits([[1, 1]] * 2 + [[0, 1]] * 6 + [[0, 0]] * 2).requires_grad_()  # 2 and 8 of 10 tasks
    _plain(logits).backward()
    assert logits.grad is not None
    assert (logits.grad[:, 0] < 0).all()
    assert (logits.grad[:, 1] > 0).all()


def test_a_skill_that_nobody_uses_gets_no_gradient() -> None:
    logits = _logits([[1, 0], [0, 0], [0, 0]]).requires_grad_()
    ibp_log_prior(logits).backward()
    assert logits.grad is not None
    assert (logits.grad[:, 1] == 0).all()
    assert (logits.grad[:, 0] != 0).all()
