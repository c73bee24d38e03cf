"""Blocks of about one size for tasks with unequally many examples."""

import numpy as np
import pytest
import torch

from polyray.rl.fast.blocks import ChangingPlaces, blocks_of_each, split


def test_equally_many_examples_stay_one_block_each() -> None:
    for counts in ([5], [64] * 8, [1, 1]):
        assert blocks_of_each(counts, 0.5) == [1] * len(counts)
    assert split([1, 0, 1, 0], 2, 1.0) == ([0, 1], [1, 0, 1, 0])


def test_a_task_of_many_examples_gets_several_blocks_and_one_without_any_gets_one() -> None:
    # 100 + 3 x 10: one block each is 4 x (100 + 1) of work, blocks of 10 are 13 x (10 + 1)
    assert blocks_of_each([100, 10, 10, 10], 1) == [10, 1, 1, 1]
    assert blocks_of_each([100, 10, 10, 10], 1000) == [1, 1, 1, 1]
    assert blocks_of_each([8, 0], 1) == [2, 1], "2 blocks x (8 + 1) against 3 x (4 + 1)"


def test_blocks_are_the_best_of_a_slow_search_and_of_one_size() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        counts = random.integers(0, 60, 5).tolist()
        overhead = float(random.integers(0, 20))
        if not sum(counts):
            continue

        def work(size: int, counts: list[int] = counts, overhead: float = overhead) -> float:
            return sum(max(1, -(-count // size)) for count in counts) * (size + overhead)

        n_blocks = blocks_of_each(counts, overhead)
        most = max(-(-count // n) for count, n in zip(counts, n_blocks, strict=True))
        assert sum(n_blocks) * (most + overhead) <= 1.15 * min(work(size) for size in range(1, 61))
        rows = random.permutation(np.repeat(np.arange(5), counts)).tolist()
        of_block, blocks = split(rows, 5, overhead)
        assert [of_block[block] for block in blocks] == rows
        assert np.bincount(blocks, minlength=len(of_block)).max() == most


def test_environments_stay_in_their_block_until_their_task_changes() -> None:
    blocks_of = ChangingPlaces(torch.tensor([4, 4, 4, 4, 4, 4, 7, 7]), {4: 0, 7: 1})
    before = blocks_of(torch.tensor([4, 4, 4, 4, 4, 4, 7, 7]))
    after = blocks_of(torch.tensor([7, 4, 4, 4, 4, 4, 7, 4]))
    assert [blocks_of.row_of_block[block] for block in after.row_of_example] == [1, 0, 0, 0, 0, 0, 1, 0]
    assert after.row_of_example[1:7] == before.row_of_example[1:7]
    assert np.bincount(after.row_of_example).max() <= np.bincount(before.row_of_example).max()
    for other in ([4] * 7, [5] * 8):
        with pytest.raises(ValueError, match="merged for"):
            blocks_of(torch.tensor(other))
