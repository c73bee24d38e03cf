"""Start states made by compiled code: for one stream of random numbers the level is minigrid's own, bit by bit."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.compiled import entry
from polyray.envs.engine.state import State
from polyray.envs.fingerprints import fingerprint, is_among
from polyray.envs.generation.draft import N_DRAFT, Draft
from polyray.envs.generation.families import recipe_of
from polyray.envs.generation.steps import END, N_ARGUMENTS, follow
from polyray.envs.generation.stream import N_STREAM, stream_for
from polyray.envs.generation.words import write
from polyray.envs.levels import LEVELS, Level
from polyray.errors import InputError

NATIVE: tuple[str, ...] = tuple(name for name, level in LEVELS.items() if recipe_of(level) is not None)
NOTHING = np.zeros(0, np.uint64)  # no held-out start states


@entry
def generate_rows(
    work: tuple[Draft, NDArray[np.int64], NDArray[np.int64]],
    sources: NDArray[np.int64],
    state: State,
    rows: NDArray[np.int64],
    tasks: NDArray[np.int64],
    held_out: NDArray[np.uint64],
    rejected: NDArray[np.int64],
) -> None:
    """Row rows[i] becomes the next start state of level number tasks[i] that stream number sources[i] gives.

    `work` is a draft, the levels' recipes [L, rows, 6] and the streams [S, 6]. States in `held_out` are left out, and
    `rejected` [L] counts them.
    """
    draft, recipes, streams = work
    for i in range(len(rows)):
        for k in range(N_STREAM):
            draft[k] = streams[sources[i], k]
        while True:
            if not follow(draft, recipes[tasks[i]]):
                continue
            write(draft, state, rows[i])
            if len(held_out) == 0 or not is_among(fingerprint(state, rows[i]), held_out):
                break
            rejected[tasks[i]] += 1
        for k in range(N_STREAM):
            streams[sources[i], k] = draft[k]


def stacked(levels: Sequence[Level]) -> NDArray[np.int64]:
    """The recipes of these levels in one table [L, rows, 6].

    Raises:
        InputError: a level cannot be made natively.
    """
    recipes = [recipe_of(level) for level in levels]
    foreign = [level.name for level, recipe in zip(levels, recipes, strict=True) if recipe is None]
    if foreign:
        raise InputError(f"The level {foreign[0]!r} cannot be generated natively; use a level bank (envs/bank.py).")
    table = np.full((len(levels), max(len(recipe) for recipe in recipes if recipe is not None), N_ARGUMENTS), END)
    for row, recipe in zip(table, recipes, strict=True):
        if recipe is not None:
            row[: len(recipe)] = recipe
    return table


class NativeStarts:
    """Start states of `levels` made as they are asked for, from one endless stream per level.

    A level's stream depends on the seed, the level's name and `split` alone: its k-th start state is the same whatever
    other levels there are and however many rows are filled at once. States whose fingerprints are in `held_out` are
    left out; `rejected` [L] counts them.

    Raises:
        InputError: a level cannot be made natively.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        seed: int,
        split: str = "training",
        held_out: NDArray[np.uint64] = NOTHING,
    ) -> None:
        self.levels = tuple(levels)
        self.rejected = np.zeros(len(self.levels), np.int64)
        self._held_out = np.unique(held_out)
        self._streams = np.array([stream_for(seed, level.name, split) for level in self.levels])
        self._work = (np.zeros(N_DRAFT, np.int64), stacked(self.levels), self._streams)

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrites row rows[i] with the next start state of level number tasks[i]."""
        generate_rows(self._work, tasks, state, rows, tasks, self._held_out, self.rejected)

    def state(self) -> dict[str, NDArray[np.int64]]:
        """What a checkpoint keeps: by level name, the six numbers of its stream and how many states were rejected."""
        return {
            level.name: np.append(stream, rejected)
            for level, stream, rejected in zip(self.levels, self._streams, self.rejected, strict=True)
        }

    def restore(self, kept: Mapping[str, NDArray[np.int64]]) -> None:
        """Goes on exactly where `state` was taken; a level that it does not know begins at its beginning."""
        for k, level in enumerate(self.levels):
            if level.name in kept:
                self._streams[k], self.rejected[k] = kept[level.name][:N_STREAM], kept[level.name][N_STREAM]

    def close(self) -> None:
        """Nothing: there are no processes."""
