"""The sampler draws tasks in their proportion, each task's rows in rounds, and goes on from its state."""

import json
from collections import Counter
from itertools import islice

import pytest
import torch

from polyray.errors import InputError
from polyray.training.sampler import Sampler


@pytest.mark.parametrize(("power", "shares"), [(1.0, [0.1, 0.9]), (0.5, [0.25, 0.75]), (0.0, [0.5, 0.5])])
def test_tasks_are_drawn_in_proportion_to_a_power_of_their_sizes(power: float, shares: list[float]) -> None:
    sampler = Sampler([10, 90], 50, power, seed=0)  # 10 ** 0.5 / (10 ** 0.5 + 90 ** 0.5) = 1 / 4
    counts = Counter(task for batch in islice(sampler, 400) for task, _ in batch)
    assert [counts[task] / 20_000 for task in (0, 1)] == pytest.approx(shares, abs=0.015)  # 4 standard deviations


def test_every_round_of_a_task_sees_each_of_its_rows_once_in_an_order_of_its_own() -> None:
    sampler = Sampler([7, 3], 5, 0.0, seed=1)
    rows: dict[int, list[int]] = {0: [], 1: []}
    for batch in islice(sampler, 60):
        for task, row in batch:
            rows[task].append(row)
    for task, size in ((0, 7), (1, 3)):
        rounds = [rows[task][start : start + size] for start in range(0, len(rows[task]) - size + 1, size)]
        assert all(sorted(order) == list(range(size)) for order in rounds)
        assert len({tuple(order) for order in rounds}) > 1


def test_a_restored_sampler_goes_on_as_the_one_it_was_taken_from() -> None:
    sampler = Sampler([7, 3, 20], 4, 0.7, seed=2)
    for _ in range(9):
        sampler.draw()
    state = json.loads(json.dumps(sampler.state()))
    expected = [sampler.draw() for _ in range(9)]
    noise = torch.rand(3, generator=sampler.noise(1))
    other = Sampler([7, 3, 20], 4, 0.7, seed=2)
    other.restore(state)
    assert [other.draw() for _ in range(9)] == expected
    assert torch.equal(torch.rand(3, generator=other.noise(1)), noise)


def test_the_seed_fixes_the_draws_and_another_one_changes_them() -> None:
    first, same, other = ([Sampler([9, 5], 6, 1.0, seed).draw() for _ in range(1)] for seed in (3, 3, 4))
    assert first == same != other


def test_noise_differs_by_batch_worker_and_seed() -> None:
    draws = []
    for seed in (0, 1):
        sampler = Sampler([9], 3, 1.0, seed)
        for _ in range(2):
            sampler.draw()
            draws += [float(torch.rand(1, generator=sampler.noise(member))) for member in (0, 1)]
    assert len(set(draws)) == len(draws) == 8


@pytest.mark.parametrize("sizes", [[], [3, 0]])
def test_a_task_without_rows_is_refused(sizes: list[int]) -> None:
    with pytest.raises(InputError, match="at least one example"):
        Sampler(sizes, 4, 1.0, seed=0)
