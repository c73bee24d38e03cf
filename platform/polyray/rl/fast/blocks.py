"""Examples of unequally many tasks in blocks of about one size, so that one product serves all blocks.

The rows of a mix are padded to the longest one. A level with long episodes fills most of a batch, and padding all
others to its number would multiply the work; so a task with many examples gets several rows of equal weights.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from polyray.modules.mix import Rows

OVERHEAD = 32  # frames whose learning takes as long as the merging of one more row of weights, about
MOST_BLOCKS = 16  # of one task


def blocks_of_each(counts: Sequence[int], overhead: float) -> list[int]:
    """Number of equal blocks for each task that makes the work least: blocks x (examples of the longest + overhead).

    Args:
        counts: examples of each task, at least one of them above 0; a task without any gets a block, too.
        overhead: work that one more block takes, in examples.
    """
    sizes = {-(-count // blocks) for count in counts if count for blocks in range(1, MOST_BLOCKS + 1)}
    _, _, best = min(
        (sum(_n_blocks(count, size) for count in counts) * (size + overhead), -size, size) for size in sizes
    )
    return [_n_blocks(count, best) for count in counts]


def _n_blocks(count: int, size: int) -> int:
    return max(1, -(-count // size))


def split(rows: Sequence[int], n_rows: int, overhead: float) -> tuple[list[int], list[int]]:
    """Blocks of a batch whose examples use these rows: the row of each block, and the block of each example.

    Equally many examples of every row, in any order, stay one block each.

    Args:
        rows: of each example.
        overhead: work that one more block takes, in examples.
    """
    counts = [0] * n_rows
    for row in rows:
        counts[row] += 1
    row_of_block, first, n_blocks = _layout(counts, overhead)
    blocks, seen = [], [0] * n_rows
    for row in rows:
        blocks.append(first[row] + seen[row] % n_blocks[row])
        seen[row] += 1
    return row_of_block, blocks


def _layout(counts: Sequence[int], overhead: float) -> tuple[list[int], list[int], list[int]]:
    """Row of each block, and for each row its first block and its number of blocks."""
    n_blocks = blocks_of_each(counts, overhead)
    row_of_block = [row for row, n in enumerate(n_blocks) for _ in range(n)]
    first = [sum(n_blocks[:row]) for row in range(len(n_blocks))]
    return row_of_block, first, n_blocks


class FixedPlaces:
    """Blocks of environments that keep their tasks.

    Args:
        task: int64 [B], the router's row for each environment.
        rows: the rows of weights that they use.
    """

    def __init__(self, task: Tensor, rows: Rows) -> None:
        self._task, self._rows = task.clone(), rows

    def __call__(self, task: Tensor) -> Rows:
        """The rows of weights for environments with these tasks.

        Raises:
            ValueError: the tasks are others.
        """
        if not torch.equal(task, self._task):
            raise ValueError("An acting policy plays in the environments that it was merged for; found other tasks.")
        return self._rows


class ChangingPlaces:
    """Blocks of environments whose tasks change from episode to episode.

    An environment stays in its block as long as it keeps its task, and then goes to the emptiest block of the new one.

    Args:
        task: int64 [B], the router's row for each environment at the beginning.
        row_of_task: row of weights of each task that an environment may come to.
    """

    def __init__(self, task: Tensor, row_of_task: dict[int, int]) -> None:
        self._row_of_task = row_of_task
        n_rows = max(row_of_task.values()) + 1
        rows = [row_of_task[number] for number in task.tolist()]
        counts = [rows.count(row) for row in range(n_rows)]
        self.row_of_block, self._first, self._n_blocks = _layout(counts, overhead=1)
        self._counts = [0] * len(self.row_of_block)
        self._tasks, self._device = task.tolist(), task.device
        self._blocks = [self._enter(number) for number in self._tasks]
        self._rows = self._as_rows()

    def __call__(self, task: Tensor) -> Rows:
        """The block of each environment, now that they have these tasks.

        Raises:
            ValueError: a task is none of those that an environment may come to, or there are more environments.
        """
        tasks = task.tolist()
        if tasks != self._tasks:
            if len(tasks) != len(self._tasks) or not self._row_of_task.keys() >= set(tasks):
                raise ValueError("An acting policy plays in the environments and tasks that it was merged for.")
            for environment, (old, new) in enumerate(zip(self._tasks, tasks, strict=True)):
                if old != new:
                    self._counts[self._blocks[environment]] -= 1
                    self._blocks[environment] = self._enter(new)
            self._tasks, self._rows = tasks, self._as_rows()
        return self._rows

    def _enter(self, task: int) -> int:
        """The emptiest block of a task, with one environment more."""
        row = self._row_of_task[task]
        blocks = range(self._first[row], self._first[row] + self._n_blocks[row])
        block = min(blocks, key=self._counts.__getitem__)
        self._counts[block] += 1
        return block

    def _as_rows(self) -> Rows:
        return Rows(self._blocks, len(self.row_of_block), self._device)
