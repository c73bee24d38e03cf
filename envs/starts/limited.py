"""Start states with a step limit of one's own."""

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.engine import Starts
from polyray.envs.engine.state import State


class LimitedStarts:
    """The start states of another source, with `max_steps` in place of their step limits."""

    def __init__(self, starts: Starts, max_steps: int) -> None:
        self._starts, self._max_steps = starts, max_steps

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrite row rows[i] with the next start state of level number tasks[i]."""
        self._starts.fill(state, rows, tasks)
        state.limit[rows] = self._max_steps
