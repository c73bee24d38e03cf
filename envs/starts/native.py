"""Start states made by compiled code: from the same random numbers, exactly the level that minigrid makes."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.compilation import compiled_entry
from polyray.envs.engine.state import State
from polyray.envs.generation.draft import N_DRAFT, Draft
from polyray.envs.generation.families import recipe_of
from polyray.envs.generation.steps import END, N_ARGUMENTS, follow
from polyray.envs.generation.stream import N_STREAM, stream_for
from polyray.envs.generation.words import write
from polyray.envs.levels import Level
from polyray.envs.starts.fingerprints import fingerprint, is_held_out
from polyray.errors import InputError


@compiled_entry
def generate_rows(
    work: tuple[Draft, NDArray[np.int64], NDArray[np.int64]],
    sources: NDArray[np.int64],
    state: State,
    rows: NDArray[np.int64],
    tasks: NDArray[np.int64],
    skip_held_out: bool,
    rejected: NDArray[np.int64],
) -> None:
    """Overwrite row rows[i] with the next start state of level number tasks[i] from stream number sources[i].

    Args:
        work: a draft to work in, the levels' recipes [L, steps, 6] and the streams [S, 6], which advance.
        skip_held_out: pass over start states that are held out for evaluation (`is_held_out`).
        rejected: [L], counts the start states passed over.
    """
    draft, recipes, streams = work
    for i in range(len(rows)):
        for k in range(N_STREAM):
            draft[k] = streams[sources[i], k]
        while True:
            if not follow(draft, recipes[tasks[i]]):
                continue
            write(draft, state, rows[i])
            if not (skip_held_out and is_held_out(fingerprint(state, rows[i]))):
                break
            rejected[tasks[i]] += 1
        for k in range(N_STREAM):
            streams[sources[i], k] = draft[k]


def stacked_recipes(levels: Sequence[Level]) -> NDArray[np.int64]:
    """Recipes of `levels` in one table [L, steps, 6], the shorter ones padded with END.

    Raises:
        InputError: a level has no recipe.
    """
    recipes = []
    for level in levels:
        recipe = recipe_of(level)
        if recipe is None:
            raise InputError(
                f"The level {level.name!r} has no recipe for compiled generation; its start states come from minigrid "
                f"(polyray.envs.starts.resumable.starts_for)."
            )
        recipes.append(recipe)
    table = np.full((len(levels), max(map(len, recipes), default=1), N_ARGUMENTS), END)
    for row, recipe in zip(table, recipes, strict=True):
        row[: len(recipe)] = recipe
    return table


class NativeStarts:
    """Start states of `levels`, compiled, from one endless stream per level.

    A level's stream depends on `seed`, the level's name and `split` alone: its k-th start state is the same whatever
    other levels there are and however many rows are filled at once. With `skip_held_out` states that are held out for
    evaluation are passed over; `rejected` [L] counts them.

    Raises:
        InputError: a level has no recipe.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        seed: int,
        split: str = "training",
        skip_held_out: bool = False,
    ) -> None:
        self.levels = tuple(levels)
        self.rejected = np.zeros(len(self.levels), np.int64)
        self._skip_held_out = skip_held_out
        self._streams = np.array([stream_for(seed, level.name, split) for level in self.levels])
        self._work = (np.zeros(N_DRAFT, np.int64), stacked_recipes(self.levels), self._streams)

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrite row rows[i] with the next start state of level number tasks[i]."""
        generate_rows(self._work, tasks, state, rows, tasks, self._skip_held_out, self.rejected)

    def state(self) -> dict[str, NDArray[np.int64]]:
        """Position in each level's stream by the level's name: the stream's six numbers and the rejected count, [7]."""
        return {
            level.name: np.append(stream, rejected)
            for level, stream, rejected in zip(self.levels, self._streams, self.rejected, strict=True)
        }

    def restore(self, positions: Mapping[str, NDArray[np.int64]]) -> None:
        """Go on exactly where `state` returned `positions`; a level without a position begins at its beginning."""
        for k, level in enumerate(self.levels):
            if level.name in positions:
                position = positions[level.name]
                self._streams[k], self.rejected[k] = position[:N_STREAM], position[N_STREAM]
