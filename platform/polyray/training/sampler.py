"""The order in which training sees the rows of its tasks."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from polyray.errors import InputError


class Sampler:
    """The rows of each step: tasks in a proportion to their sizes, each task's rows in shuffled rounds.

    sizes: rows of each task. A task is drawn with probability proportional to size ** power: 1 is proportional, 0
    uniform, between them a temperature of 1 / power. together: a batch is of one task.

    Raises:
        InputError: a task has no rows.
    """

    def __init__(self, sizes: Sequence[int], batch: int, power: float, seed: int, *, together: bool = False) -> None:
        if not sizes or min(sizes) < 1:
            raise InputError("Every training task needs at least one example.")
        self._sizes, self._batch, self._seed, self._together = list(sizes), batch, seed, together
        self._weights = [size**power for size in sizes]
        self._random = random.Random(f"{seed}-tasks")
        self._seen = [0] * len(sizes)
        self._rounds: dict[int, tuple[int, list[int]]] = {}

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        while True:
            yield self.draw()

    def draw(self) -> list[tuple[int, int]]:
        """The next batch as (task, row within the task)."""
        n_drawn = 1 if self._together else self._batch
        tasks = self._random.choices(range(len(self._sizes)), self._weights, k=n_drawn) * (self._batch // n_drawn)
        return [(task, self._next(task)) for task in tasks]

    def _next(self, task: int) -> int:
        turn, index = divmod(self._seen[task], self._sizes[task])
        if self._rounds.get(task, (-1, []))[0] != turn:
            order = list(range(self._sizes[task]))
            random.Random(f"{self._seed}-{task}-{turn}").shuffle(order)
            self._rounds[task] = (turn, order)
        self._seen[task] += 1
        return self._rounds[task][1][index]

    def noise(self, member: int = 0) -> torch.Generator:
        """The generator of what the latest batch draws beside its rows, for one of the workers that share the batch.

        It depends on the seed, the number of batches drawn and `member` alone, so that `state` need not hold it.
        """
        n_batches = sum(self._seen) // self._batch
        seed = random.Random(f"{self._seed}-noise-{member}-{n_batches}").getrandbits(63)
        return torch.Generator().manual_seed(seed)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on from here, as JSON."""
        version, numbers, gauss = self._random.getstate()
        return {"random": [version, list(numbers), gauss], "seen": list(self._seen)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        version, numbers, gauss = state["random"]
        self._random.setstate((version, tuple(numbers), gauss))
        self._seen = list(state["seen"])
