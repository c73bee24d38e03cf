"""Merges by masks and against interference, worked by hand, and against slow versions in float64."""

import torch
from torch import Tensor, nn

from polyray.merging import Operands, Part
from polyray.merging.interference import WudiOptions, wudi
from polyray.merging.masks import (
    ScaleOptions,
    TallOptions,
    consensus,
    emr,
    emr_masks,
    magmax,
    tall_masks,
    unified,
)


def operands(*changes: list[float], weights: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Operands:
    """Parts with these task vectors from a base of ones."""
    base = torch.ones(len(changes[0]), dtype=torch.float64)
    parts = [Part(tensor=base + torch.tensor(x), weight=w) for x, w in zip(changes, weights, strict=False)]
    return Operands(parts=parts, base=Part(tensor=base))


def change_of(result: Tensor) -> list[float]:
    return (result - 1).tolist()


def test_the_largest_magnitude_counts_worked_by_hand() -> None:
    some = operands([1, -4, 2, 0], [-3, 2, -2, 0], weights=(1.0, 1.0))
    assert change_of(magmax(some, ScaleOptions())) == [-3, -4, 2, 0]
    assert change_of(magmax(some, ScaleOptions(scale=0.5))) == [-1.5, -2, 1, 0]
    weighted = operands([1, -4, 2, 0], [-3, 2, -2, 0], weights=(4.0, 1.0))
    assert change_of(magmax(weighted, ScaleOptions())) == [4, -16, 8, 0]


def test_skills_that_arrive_one_by_one_give_the_maximum_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    changes = torch.randn(3, 20, generator=generator).tolist()
    together = change_of(magmax(operands(*changes), ScaleOptions()))
    first_two = change_of(magmax(operands(*changes[:2]), ScaleOptions()))
    torch.testing.assert_close(
        torch.tensor(change_of(magmax(operands(first_two, changes[2]), ScaleOptions()))), torch.tensor(together)
    )


def test_the_unified_task_vector_worked_by_hand() -> None:
    # sums 0 -1 3: signs + - +; largest magnitudes of that sign 2, 3, 4
    some = operands([2, -3, 4], [-2, 2, -1], weights=(1.0, 1.0))
    assert change_of(emr(some, ScaleOptions())) == [2, -3, 4]
    changes = some.changes()
    masks, factors = emr_masks(changes)
    assert masks.tolist() == [[True, True, True], [False, False, False]]
    assert factors.tolist() == [1.0, 1.0]  # 9 / 9; a part of which nothing is left keeps 1
    agreeing = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    masks, factors = emr_masks(agreeing)  # unified 3 2
    assert unified(agreeing).tolist() == [3, 2] and masks.tolist() == [[True, True], [True, False]]
    torch.testing.assert_close(factors, torch.tensor([3 / 5, 4 / 3]))


def test_entries_that_several_parts_need_stay_worked_by_hand() -> None:
    # sums 3 1 4; |sum - tau|: 2 1 / 2 4 / 0.. -> with lambda 0.4: part 1 has 1 >= .8, part 2 has 2 >= .4
    changes = torch.tensor([[1.0, 5.0, 0.1], [2.0, -4.0, 4.0]])
    assert tall_masks(changes, 0.4).tolist() == [[True, True, False], [True, True, True]]
    some = operands(*changes.tolist(), weights=(1.0, 1.0))
    assert change_of(consensus(some, TallOptions())) == [3.0, 1.0, 0.0]
    torch.testing.assert_close(consensus(some, TallOptions(needed_by=1)) - 1, changes.sum(0).double())


def interference(merged: Tensor, changes: Tensor) -> Tensor:
    """The published loss of a merged task vector [out, in]."""
    products = (merged.unsqueeze(0) - changes) @ changes.transpose(1, 2)
    return (products.square().sum((1, 2)) / changes.square().sum((1, 2))).sum()


def slow_wudi(changes: Tensor, steps: int, lr: float) -> Tensor:
    """The published loop with autograd and torch's Adam, in float64."""
    merged = nn.Parameter(changes.sum(0))
    optimizer = torch.optim.Adam([merged], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        interference(merged, changes).backward()
        optimizer.step()
    return merged.detach()


def test_interference_is_taken_out_as_by_the_published_loop() -> None:
    changes = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    base = torch.randn(5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    some = Operands(parts=[Part(tensor=base + x) for x in changes], base=Part(tensor=base))
    for steps, lr in ((20, 1e-2), (40, 1e-5)):
        result = wudi(some, WudiOptions(steps=steps, lr=lr)) - base
        torch.testing.assert_close(result, slow_wudi(changes, steps, lr), rtol=1e-6, atol=1e-8)
    minimum = nn.Parameter(wudi(some, WudiOptions(steps=0)) - base)
    (slope,) = torch.autograd.grad(interference(minimum, changes), [minimum])
    (before,) = torch.autograd.grad(interference(start := nn.Parameter(changes.sum(0)), changes), [start])
    assert float(slope.abs().max()) < 1e-8 < float(before.abs().max())


def test_task_vectors_on_different_inputs_do_not_disturb_each_other() -> None:
    first, second = torch.zeros(4, 6), torch.zeros(4, 6)
    first[:, :3], second[:, 3:] = torch.randn(4, 3), torch.randn(4, 3)
    some = Operands(parts=[Part(tensor=first), Part(tensor=second)], base=Part(tensor=torch.zeros(4, 6)))
    for steps in (0, 50):
        torch.testing.assert_close(wudi(some, WudiOptions(steps=steps)), first + second)
