"""A level bank: start states that minigrid made beforehand, or is making in other processes while training runs."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from polyray.envs.bank_files import read_shard
from polyray.envs.bank_workers import Order, Workers
from polyray.envs.engine.state import ROW, WALL, State
from polyray.envs.generation.starts import NOTHING
from polyray.envs.generation.stream import entropy_of
from polyray.envs.levels import Level
from polyray.errors import InputError, RunError

WAIT = 0.05  # seconds between two looks for a shard
ROUND, FIRST, LAST, SERVED, REJECTED = range(5)  # of a level's place


class Shelf:
    """What a bank has of one level, and in which order it is served.

    A round goes through the shards that are new since the last one, or through all if none is, in an order that depends
    on the seed, the level and the round alone; nothing comes twice in a round.
    """

    def __init__(self, order: Order, level: Level, held_out: NDArray[np.uint64]) -> None:
        self._order, self._level, self._held_out = order, level, held_out
        self._shards: list[NDArray[np.void]] = []
        self._queue: NDArray[np.int64] = np.zeros((0, 2), np.int64)  # shard and row of each state of this round
        self.place = np.array([-1, 0, 0, 0, 0])  # round, its first shard and the one after its last, states served

    def look(self) -> int:
        """How many shards there are, in a row from the first one; one that is damaged is deleted, to be made anew."""
        while (path := self._order.path(self._level, len(self._shards))).exists():
            try:
                self._shards.append(read_shard(path, self._level))
            except InputError:
                path.unlink()
        return len(self._shards)

    def take(self, n: int) -> NDArray[np.int64]:
        """Shard and row [at most n, 2] of the next states; fewer where a round ends."""
        if self.place[SERVED] == len(self._queue):
            self._next_round()
        found = self._queue[self.place[SERVED] : self.place[SERVED] + n]
        self.place[SERVED] += len(found)
        return found

    def write(self, taken: NDArray[np.int64], state: State, rows: NDArray[np.int64]) -> None:
        """Copies states into rows, but for their task."""
        height, width = self._level.height, self._level.width
        tasks = state.task[rows]
        state.grid[rows] = WALL
        for row, (shard, place) in zip(rows.tolist(), taken.tolist(), strict=True):
            found = self._shards[shard][place]
            state.grid[row, :height, :width] = found["grid"]
            state.rows[row] = np.frombuffer(found["row"].tobytes(), ROW)[0]
        state.task[rows] = tasks

    def restore(self, place: NDArray[np.int64]) -> None:
        """Goes on from such a `place`; the shards of its round must be there."""
        self.place[:] = place
        if self.place[ROUND] >= 0:
            self._queue = self._order_of_round()

    def _next_round(self) -> None:
        known = self.look()
        start = self.place[LAST] if self.place[LAST] < known else 0
        self.place[:REJECTED] = self.place[ROUND] + 1, start, known, 0
        self._queue = self._order_of_round()
        self.place[REJECTED] += sum(len(self._shards[k]) for k in range(start, known)) - len(self._queue)
        if len(self._queue) == 0:
            raise InputError(f"Every start state that the level bank has of {self._level.name} is held out.")

    def _order_of_round(self) -> NDArray[np.int64]:
        numbers = range(self.place[FIRST], self.place[LAST])
        kept = [np.flatnonzero(~np.isin(self._shards[k]["fingerprint"], self._held_out)) for k in numbers]
        pairs = [np.stack([np.full(len(rows), k), rows], axis=1) for k, rows in zip(numbers, kept, strict=True)]
        entropy = [*entropy_of(self._order.seed, self._level.name, self._order.split), int(self.place[ROUND])]
        return np.random.default_rng(entropy).permutation(np.concatenate(pairs))


class Bank:
    """Start states of an order's levels, made by `workers` processes that go on while states are served.

    The order in which a level's states are served depends on its seed, name and split, and on how many shards there
    were whenever a round began: with `workers=0`, or once all shards are there, on nothing else. `state` and `restore`
    go on exactly where they were within a round. A shard that was cut off or damaged is made anew.

    Raises:
        InputError: there are neither shards nor workers to make them, or all there is of a level is held out.
        RunError: a worker failed.
    """

    def __init__(self, order: Order, *, held_out: NDArray[np.uint64] = NOTHING, workers: int = 1) -> None:
        self.levels = order.levels
        self._shelves = [Shelf(order, level, held_out) for level in order.levels]
        missing = [shelf for shelf in self._shelves if shelf.look() < order.shards]
        self._workers = Workers(order, workers) if missing and workers else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers."""
        if self._workers is not None:
            self._workers.close()

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrites row rows[i] with the next start state of level number tasks[i]; waits for a first shard."""
        for task in np.unique(tasks).tolist():
            self._wait_for(task)
            wanted = rows[tasks == task]
            while len(wanted):
                taken = self._shelves[task].take(len(wanted))
                self._shelves[task].write(taken, state, wanted[: len(taken)])
                wanted = wanted[len(taken) :]

    @property
    def rejected(self) -> NDArray[np.int64]:
        """[L] how many states were left out because they are held out."""
        return np.array([shelf.place[REJECTED] for shelf in self._shelves])

    def state(self) -> dict[str, NDArray[np.int64]]:
        """What a checkpoint keeps: by level name, the round, its shards, states served, states left out."""
        return {level.name: shelf.place.copy() for level, shelf in zip(self.levels, self._shelves, strict=True)}

    def restore(self, kept: Mapping[str, NDArray[np.int64]]) -> None:
        """Goes on where `state` was taken; a level that it does not know begins at its beginning."""
        for task, level in enumerate(self.levels):
            if level.name in kept:
                self._wait_for(task, int(kept[level.name][LAST]))
                self._shelves[task].restore(kept[level.name])

    def _wait_for(self, task: int, shards: int = 1) -> None:
        shelf, name = self._shelves[task], self.levels[task].name
        if shelf.place[LAST] >= shards:
            return
        while shelf.look() < shards:
            if self._workers is None:
                raise InputError(f"The level bank has not enough start states of {name}, and no workers to make them.")
            if self._workers.failed():
                raise RunError(
                    f"A process of the level bank failed (exit code {self._workers.failed()}); see its message."
                )
            time.sleep(WAIT)
