"""Start states that follow gymnasium's seeds: compiled for a batch, or from minigrid for a single environment."""

from collections.abc import Sequence

import numpy as np
from gymnasium.utils.seeding import np_random
from numpy.typing import NDArray

from polyray.envs.engine.state import State
from polyray.envs.generation.draft import N_DRAFT
from polyray.envs.generation.families import recipe_of
from polyray.envs.generation.stream import N_STREAM, generator_at, stream_of
from polyray.envs.levels import Level
from polyray.envs.starts.native import generate_rows, stacked_recipes
from polyray.envs.starts.reference import begin, minigrid_environment


class MinigridStarts:
    """Start states of one level, made by minigrid, which takes it milliseconds.

    `generator` is the one that minigrid draws from; whoever owns the environment replaces it to seed the episodes.

    Raises:
        InputError: minigrid's environment cannot be played by the engine.
    """

    def __init__(self, level: Level, generator: np.random.Generator) -> None:
        self.generator = generator
        self.environment = minigrid_environment(level)

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrite `rows` with the level's next start states, one after the other."""
        self.environment.np_random = self.generator
        for row in rows.tolist():
            begin(self.environment, state, row)


class SeededStarts:
    """Start states of n environments, of which environment i goes through those that minigrid makes with seed + i.

    `gymnasium.vector.SyncVectorEnv` over minigrid's environments starts in the same states. Here they are compiled, or
    for a level without a recipe made by an environment of minigrid's for each i.

    Raises:
        InputError: minigrid's environment of a level without a recipe cannot be played by the engine.
    """

    def __init__(self, levels: Sequence[Level], n: int) -> None:
        self._levels = tuple(levels)
        self._compiled = np.array([recipe_of(level) is not None for level in levels])
        self._numbers = self._compiled.cumsum() - 1  # of each compiled level in the recipes
        self._streams = np.zeros((n, N_STREAM), np.int64)
        native = [level for level in levels if recipe_of(level) is not None]
        self._work = np.zeros(N_DRAFT, np.int64), stacked_recipes(native), self._streams
        self._rejected = np.zeros(len(native), np.int64)
        self._minigrid: dict[int, MinigridStarts] = {}  # by the number of the environment

    def seed(self, seed: int, rows: NDArray[np.int64]) -> None:
        """Start environment i of `rows` from seed + i, whatever it drew before."""
        for row in rows.tolist():
            self._streams[row] = stream_of(np_random(seed + row)[0])
            if row in self._minigrid:
                self._minigrid[row].generator = generator_at(self._streams[row])

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrite row rows[i] with its environment's next start state, of level number tasks[i]."""
        compiled = self._compiled[tasks]
        native, numbers = rows[compiled], self._numbers[tasks[compiled]]
        if len(native):
            generate_rows(self._work, native, state, native, numbers, False, self._rejected)
        for row, task in zip(rows[~compiled].tolist(), tasks[~compiled].tolist(), strict=True):
            if row not in self._minigrid:
                self._minigrid[row] = MinigridStarts(self._levels[task], generator_at(self._streams[row]))
            self._minigrid[row].fill(state, np.array([row]), np.array([task]))
