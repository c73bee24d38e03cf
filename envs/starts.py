"""Where training and evaluation take their start states from, kept apart from each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from polyray.envs.bank import Bank
from polyray.envs.bank_files import captured, environment
from polyray.envs.bank_workers import Order
from polyray.envs.engine.state import State, copy_rows, empty
from polyray.envs.fingerprints import fingerprints
from polyray.envs.generation.families import recipe_of
from polyray.envs.generation.starts import NOTHING, NativeStarts
from polyray.envs.generation.stream import entropy_of
from polyray.envs.levels import Level
from polyray.errors import InputError

SHARE = 4  # every fourth start state may be held out, by its fingerprint
DRAWS = 20_000  # start states without one that may be held out, after which a level has too few


class ResumableStarts(Protocol):
    """Start states for `Engine` that a checkpoint can keep the place of."""

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrites row rows[i] with the next start state of level number tasks[i]."""

    @property
    def rejected(self) -> NDArray[np.int64]:
        """[L] how many start states were left out because they are held out."""

    def state(self) -> dict[str, NDArray[np.int64]]:
        """The place in each level's stream, by the level's name."""

    def restore(self, kept: Mapping[str, NDArray[np.int64]]) -> None:
        """Goes on where `state` was taken."""

    def close(self) -> None:
        """Ends the processes that it started, if any."""


class MixedStarts:
    """Start states of `levels`: each part serves those that it has."""

    def __init__(self, levels: Sequence[Level], parts: Sequence[NativeStarts | Bank]) -> None:
        self._parts = tuple(parts)
        names = [[level.name for level in part.levels] for part in parts]
        places = [
            next((k, own.index(level.name)) for k, own in enumerate(names) if level.name in own) for level in levels
        ]
        self._part, self._own = np.array(places, np.int64).T  # of each level: its part, its number there

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrites row rows[i] with the next start state of level number tasks[i]."""
        for k, part in enumerate(self._parts):
            mine = self._part[tasks] == k
            if mine.any():
                part.fill(state, rows[mine], self._own[tasks[mine]])

    @property
    def rejected(self) -> NDArray[np.int64]:
        """[L] how many start states were left out because they are held out."""
        counts = [part.rejected for part in self._parts]
        return np.array([counts[part][own] for part, own in zip(self._part, self._own, strict=True)])

    def state(self) -> dict[str, NDArray[np.int64]]:
        """The place in each level's stream, by the level's name."""
        return {name: place for part in self._parts for name, place in part.state().items()}

    def restore(self, kept: Mapping[str, NDArray[np.int64]]) -> None:
        """Goes on where `state` was taken; a level that it does not know begins at its beginning."""
        for part in self._parts:
            part.restore(kept)

    def close(self) -> None:
        """Ends the processes that it started, if any."""
        for part in self._parts:
            part.close()


def starts_for(
    levels: Sequence[Level],
    *,
    seed: int,
    folder: Path | None = None,
    held_out: NDArray[np.uint64] = NOTHING,
) -> ResumableStarts:
    """Start states to train on: made natively where that is known to equal minigrid, else from the level bank `folder`.

    A level's states depend on the seed and its name alone, not on the levels beside it. None has a fingerprint in
    `held_out` (`fingerprints(evaluation_starts(...))`).

    Raises:
        InputError: a level needs a bank, and there is no folder for one.
    """
    native = [level for level in levels if recipe_of(level) is not None]
    banked = tuple(level for level in levels if recipe_of(level) is None)
    if not banked:
        return NativeStarts(levels, seed=seed, held_out=held_out)
    if folder is None:
        raise InputError(f"The level {banked[0].name!r} is made by minigrid: give a folder for its level bank.")
    bank = Bank(Order(folder=folder, levels=banked, seed=seed), held_out=held_out)
    return MixedStarts(levels, [NativeStarts(native, seed=seed, held_out=held_out), bank] if native else [bank])


def evaluation_starts(levels: Sequence[Level], per_level: int, seed: int) -> State:
    """Held-out start states: row k * per_level + i is the i-th of level number k, which is its `task`.

    They are drawn from the level's own distribution, but only those whose fingerprint is a multiple of four: so what is
    held out never exhausts a level, and training, which leaves out the fingerprints of these very states, keeps at
    least three quarters of it. A level with few different start states may repeat one.

    Raises:
        InputError: a level has too few different start states.
    """
    state = empty(len(levels) * per_level, max(level.height for level in levels), max(level.width for level in levels))
    for task, level in enumerate(levels):
        found = _held_out(level, per_level, seed)
        copy_rows(found, np.arange(per_level), state, np.arange(per_level) + task * per_level)
        state.task[task * per_level : (task + 1) * per_level] = task
    return state


def _held_out(level: Level, n: int, seed: int) -> State:
    source = NativeStarts([level], seed=seed, split="evaluation") if recipe_of(level) is not None else None
    entropy = np.random.default_rng(entropy_of(seed, level.name, "evaluation"))
    maker = None if source else environment(level)
    kept, drawn, have = [], 0, 0
    while have < n:
        if drawn > DRAWS and have == 0:
            raise InputError(f"The level {level.name!r} has too few different start states to hold any out.")
        batch = empty(max(n, 64), level.height, level.width)
        if source is not None:
            source.fill(batch, np.arange(len(batch.rows)), np.zeros(len(batch.rows), np.int64))
        elif maker is not None:
            batch = captured(maker, level, entropy.integers(0, 1 << 31, len(batch.rows)).tolist())
        chosen = np.flatnonzero(fingerprints(batch) % SHARE == 0)[: n - have]
        kept.append(State(grid=batch.grid[chosen], rows=batch.rows[chosen]))
        drawn, have = drawn + len(batch.rows), have + len(chosen)
    return State(grid=np.concatenate([part.grid for part in kept]), rows=np.concatenate([part.rows for part in kept]))
