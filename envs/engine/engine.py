"""Many BabyAI environments stepped together by compiled code."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.kernels import observe_starts, step_all
from polyray.envs.engine.observe import VIEW
from polyray.envs.engine.state import State, empty
from polyray.envs.levels import Level


class Starts(Protocol):
    """Source of start states."""

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Overwrite row rows[i] of `state` with the next start state of level number tasks[i]."""


class Engine:
    """Batch of n environments, of which number i plays level number tasks[i] until a reset gives it another.

    `image` [n, 7, 7, 3] is minigrid's (type, colour, state; the first index is x); `reset` and `step` update it and
    `state` in place. An environment must be reset before its first step; one whose episode has ended goes on until it
    is reset. Copies by `copy.deepcopy` and pickle go on exactly as the engine does.

    Raises:
        ValueError: there is no level, or a task is not the number of one.
    """

    def __init__(self, levels: Sequence[Level], tasks: NDArray[np.int64], starts: Starts) -> None:
        if not levels or len(tasks) == 0 or not (0 <= tasks.min() and tasks.max() < len(levels)):
            raise ValueError(f"Engine: the tasks must be numbers of the {len(levels)} levels.")
        self.n = len(tasks)
        self.levels = tuple(levels)
        self.tasks = np.array(tasks, np.int64)
        self.state = empty(self.n, max(level.height for level in levels), max(level.width for level in levels))
        self.state.task[:] = self.tasks
        self.image = np.zeros((self.n, VIEW, VIEW, 3), np.uint8)
        self._codes = np.array([level.code for level in levels], np.uint64)  # of each level
        self._starts = starts

    @property
    def direction(self) -> NDArray[np.uint8]:
        """Direction in which each agent looks, [n]: a view of `state`."""
        return self.state.direction

    @property
    def mission(self) -> NDArray[np.uint8]:
        """Numbers of each instruction's words, [n, LENGTH]: a view of `state`."""
        return self.state.mission

    def reset(self, rows: NDArray[np.int64] | None = None, tasks: NDArray[np.int64] | None = None) -> None:
        """Begin a new episode in the environments `rows`, in all of them if None.

        Args:
            tasks: number of the level that each of them plays from now on; None: the one that it played before.
        """
        chosen = np.arange(self.n) if rows is None else np.asarray(rows, np.int64)
        if tasks is not None:
            self.tasks[chosen] = self.state.task[chosen] = tasks
        self._starts.fill(self.state, chosen, self.tasks[chosen])
        self.state.level[chosen] = self._codes[self.tasks[chosen]]
        observe_starts(self.state, chosen, self.image)

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
        """Take one action in every environment, reset none: rewards, terminated and truncated, each [n].

        The reward is minigrid's: 1 - 0.9 * steps / limit on success, which is negative long after the limit, else 0.

        Raises:
            ValueError: there is not one action for each environment, or one is not between 0 and 6.
        """
        if actions.shape != (self.n,):
            raise ValueError(f"Engine.step: {self.n} actions are needed, not an array of shape {actions.shape}.")
        reward = np.empty(self.n, np.float32)
        terminated, truncated = np.empty(self.n, np.bool_), np.empty(self.n, np.bool_)
        step_all(self.state, np.asarray(actions, np.int64), self.image, reward, terminated, truncated)
        return reward, terminated, truncated
