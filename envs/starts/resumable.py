"""Start states for training, from streams whose positions a checkpoint can hold."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.state import State
from polyray.envs.generation.families import recipe_of
from polyray.envs.levels import Level
from polyray.envs.starts.native import NativeStarts


class ResumableStarts(Protocol):
    """Start states for `Engine` that can be resumed from a checkpoint."""

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrite row rows[i] with the next start state of level number tasks[i]."""

    @property
    def rejected(self) -> NDArray[np.int64]:
        """[L] number of start states passed over because they are held out."""

    def state(self) -> dict[str, NDArray[np.int64]]:
        """Position in each level's stream, by the level's name."""

    def restore(self, positions: Mapping[str, NDArray[np.int64]]) -> None:
        """Go on exactly where `state` returned `positions`; a level without a position begins at its beginning."""


class MixedStarts:
    """Start states of `levels`, compiled for those that have a recipe and from minigrid for the others."""

    def __init__(self, levels: Sequence[Level], *, seed: int, split: str, skip_held_out: bool = False) -> None:
        compiled = np.array([recipe_of(level) is not None for level in levels])
        native = [level for level in levels if recipe_of(level) is not None]
        others = [level for level in levels if recipe_of(level) is None]
        self._native = NativeStarts(native, seed=seed, split=split, skip_held_out=skip_held_out)
        self._reference = _from_minigrid(others, seed=seed, split=split, skip_held_out=skip_held_out)
        self._compiled = compiled
        self._numbers = np.where(compiled, compiled.cumsum(), (~compiled).cumsum()) - 1  # of each level in its source

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrite row rows[i] with the next start state of level number tasks[i]."""
        compiled, numbers = self._compiled[tasks], self._numbers[tasks]
        self._native.fill(state, rows[compiled], numbers[compiled])
        self._reference.fill(state, rows[~compiled], numbers[~compiled])

    @property
    def rejected(self) -> NDArray[np.int64]:
        """[L] number of start states passed over because they are held out."""
        rejected = np.empty(len(self._compiled), np.int64)
        rejected[self._compiled], rejected[~self._compiled] = self._native.rejected, self._reference.rejected
        return rejected

    def state(self) -> dict[str, NDArray[np.int64]]:
        """Position in each level's stream, by the level's name."""
        return self._native.state() | self._reference.state()

    def restore(self, positions: Mapping[str, NDArray[np.int64]]) -> None:
        """Go on exactly where `state` returned `positions`; a level without a position begins at its beginning."""
        self._native.restore(positions)
        self._reference.restore(positions)


def starts_for(
    levels: Sequence[Level],
    *,
    seed: int,
    split: str = "training",
    skip_held_out: bool = False,
) -> ResumableStarts:
    """Start states of `levels`, compiled where a level has a recipe, else made by minigrid.

    A level's states depend on `seed`, its name and `split` alone, not on the levels beside it.

    Args:
        split: name of the stream: "training" and "evaluation" draw different random numbers.
        skip_held_out: pass over start states that are held out for evaluation, as every training should.

    Raises:
        InputError: minigrid's environment of a level cannot be played by the engine.
    """
    n_native = sum(recipe_of(level) is not None for level in levels)
    if n_native == len(levels):
        return NativeStarts(levels, seed=seed, split=split, skip_held_out=skip_held_out)
    if n_native == 0:
        return _from_minigrid(levels, seed=seed, split=split, skip_held_out=skip_held_out)
    return MixedStarts(levels, seed=seed, split=split, skip_held_out=skip_held_out)


def _from_minigrid(levels: Sequence[Level], *, seed: int, split: str, skip_held_out: bool) -> ResumableStarts:
    from polyray.envs.starts.reference import ReferenceStarts  # noqa: PLC0415  (loads minigrid)

    return ReferenceStarts(levels, seed=seed, split=split, skip_held_out=skip_held_out)
