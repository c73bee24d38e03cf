"""Start states that follow gymnasium's seeds: compiled for a batch, or from minigrid for a single environment."""

from collections.abc import Sequence

import numpy as np
from gymnasium.utils.seeding import np_random
from numpy.typing import NDArray

from polyray.envs.engine.state import State
from polyray.envs.generation.draft import N_DRAFT
from polyray.envs.generation.stream import N_STREAM, stream_of
from polyray.envs.levels import Level
from polyray.envs.starts.fingerprints import NO_FINGERPRINTS
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

    `gymnasium.vector.SyncVectorEnv` over minigrid's environments starts in the same states; here they are compiled.

    Raises:
        InputError: a level has no recipe.
    """

    def __init__(self, levels: Sequence[Level], n: int) -> None:
        self._streams = np.zeros((n, N_STREAM), np.int64)
        self._work = np.zeros(N_DRAFT, np.int64), stacked_recipes(levels), self._streams
        self._rejected = np.zeros(len(levels), np.int64)

    def seed(self, seed: int, rows: NDArray[np.int64]) -> None:
        """Start environment i of `rows` from seed + i, whatever it drew before."""
        for row in rows.tolist():
            self._streams[row] = stream_of(np_random(seed + row)[0])

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrite row rows[i] with its environment's next start state, of level number tasks[i]."""
        generate_rows(self._work, rows, state, rows, tasks, NO_FINGERPRINTS, self._rejected)
