"""Success, return and length of episodes, level by level: the figures of an iteration's report.

Nothing here imports Ray.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyray.rl.rollout import Episodes


class Tally:
    """Counts of every level's episodes, and of the successes among its last `window`."""

    def __init__(self, levels: Sequence[str], window: int = 100) -> None:
        self.levels, self.window = tuple(levels), window
        self.episodes = np.zeros(len(levels), np.int64)
        self._recent = np.zeros((len(levels), window), np.bool_)  # episode number e is in column e % window

    def add(self, episodes: Episodes) -> None:
        """Count episodes that ended, in the order in which they did."""
        for level in range(len(self.levels)):
            success = episodes.reward[episodes.task == level] > 0
            columns = (self.episodes[level] + np.arange(len(success))) % self.window
            self._recent[level, columns[-self.window :]] = success[-self.window :]
            self.episodes[level] += len(success)

    def success(self) -> NDArray[np.float64]:
        """Share of successes among the last `window` episodes of each level, [levels]; NaN before the first."""
        counts = np.minimum(self.episodes, self.window)
        successes = np.array([row[:n].sum() for row, n in zip(self._recent, counts, strict=True)], np.float64)
        rates: NDArray[np.float64] = np.divide(successes, counts, out=np.full(len(counts), np.nan), where=counts > 0)
        return rates

    def figures(self, episodes: Episodes) -> dict[str, Any]:
        """The figures after an iteration in which `episodes` ended: of all levels together, and under "tasks" of each.

        success: over the last `window` episodes of each level, and the mean of these over levels; success_now,
        return_mean, length_mean: over this iteration's episodes. None where there was no episode.
        """
        recent = self.success()
        tasks = {
            level: {
                "episodes": int(self.episodes[number]),
                "success": _number(recent[number]),
                **_means(episodes, episodes.task == number),
            }
            for number, level in enumerate(self.levels)
        }
        return {
            "episodes": int(self.episodes.sum()),
            "episodes_now": len(episodes.task),
            "success": _number(recent.mean()),
            **_means(episodes, np.ones(len(episodes.task), np.bool_)),
            "tasks": tasks,
        }

    def state(self) -> dict[str, NDArray[Any]]:
        """All that `load` needs."""
        return {"episodes": self.episodes.copy(), "recent": self._recent.copy()}

    def load(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what `state` returned."""
        self.episodes[:] = state["episodes"]
        self._recent[:] = state["recent"]


def _means(episodes: Episodes, mask: NDArray[np.bool_]) -> dict[str, float | None]:
    """Success, return and length over the episodes in `mask` [episodes]."""
    if not mask.any():
        return {"success_now": None, "return_mean": None, "length_mean": None}
    reward = episodes.reward[mask]
    return {
        "success_now": float((reward > 0).mean()),
        "return_mean": float(reward.mean()),
        "length_mean": float(episodes.length[mask].mean()),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
