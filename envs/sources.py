"""Where the environments of a batch take their start states from when the user names no other source."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO

import gymnasium
import numpy as np
from gymnasium.utils.seeding import np_random
from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel
from numpy.typing import NDArray

from polyray.envs.engine.capture import capture
from polyray.envs.engine.state import State
from polyray.envs.generation.draft import N_DRAFT
from polyray.envs.generation.starts import NOTHING, generate_rows, stacked
from polyray.envs.generation.stream import N_STREAM, stream_of
from polyray.envs.levels import Level


class MinigridStarts:
    """Environment i starts where minigrid's environment with the generator `generators[i]` does, reset after reset.

    minigrid itself makes the levels, which takes it milliseconds.
    """

    def __init__(self, levels: Sequence[Level], generators: list[np.random.Generator]) -> None:
        self._levels, self.generators = tuple(levels), generators
        self._makers: dict[int, RoomGridLevel] = {}

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Write new start states of the levels `tasks` into `rows`."""
        for row, task in zip(rows.tolist(), tasks.tolist(), strict=True):
            maker = self._maker(task)
            maker.np_random = self.generators[row]
            with redirect_stdout(StringIO()):  # minigrid prints why it begins a level anew
                maker.reset()
            capture(maker, state, row)

    def _maker(self, task: int) -> RoomGridLevel:
        if task not in self._makers:
            maker = gymnasium.make(self._levels[task].env_id, disable_env_checker=True).unwrapped
            if not isinstance(maker, RoomGridLevel):
                raise TypeError(f"{self._levels[task].env_id} is a {type(maker).__name__}, not one of BabyAI's levels.")
            self._makers[task] = maker
        return self._makers[task]


class SeededStarts:
    """Environment i starts where minigrid's environment with the seed `seed + i` does, at every reset.

    So does `gymnasium.vector.SyncVectorEnv` over minigrid's environments; here compiled code makes the levels.
    """

    def __init__(self, levels: Sequence[Level], n: int) -> None:
        self._streams = np.zeros((n, N_STREAM), np.int64)
        self._work = np.zeros(N_DRAFT, np.int64), stacked(levels), self._streams
        self._rejected = np.zeros(len(levels), np.int64)

    def seed(self, seed: int, rows: NDArray[np.int64]) -> None:
        """From here on the environments `rows` start as `seed` says, whatever was before."""
        for row in rows.tolist():
            self._streams[row] = stream_of(np_random(seed + row)[0])

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Write new start states of the levels `tasks` into `rows`."""
        generate_rows(self._work, rows, state, rows, tasks, NOTHING, self._rejected)
