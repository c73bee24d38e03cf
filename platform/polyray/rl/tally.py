"""What episodes came to, level by level: the figures of an iteration's report.

Nothing here imports Ray.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyray.rl.rollout import Episodes


class Tally:
    """Counts episodes of every level for good, and keeps whether the last `window` of each succeeded."""

    def __init__(self, levels: Sequence[str], window: int = 100) -> None:
        self.levels, self.window = tuple(levels), window
        self.episodes = np.zeros(len(levels), np.int64)
        self._recent = np.zeros((len(levels), window), np.bool_)

    def add(self, episodes: Episodes) -> None:
        """Take in episodes that ended, in the order in which they did."""
        for task in range(len(self.levels)):
            success = episodes.reward[episodes.task == task] > 0
            places = (self.episodes[task] + np.arange(len(success))) % self.window
            self._recent[task, places[-self.window :]] = success[-self.window :]
            self.episodes[task] += len(success)

    def success(self) -> NDArray[np.float64]:
        """Share of successes among the last `window` episodes of each level, [levels]; NaN before the first."""
        known = np.minimum(self.episodes, self.window)
        hits = np.array([row[:n].sum() for row, n in zip(self._recent, known, strict=True)], np.float64)
        rates: NDArray[np.float64] = np.divide(hits, known, out=np.full(len(known), np.nan), where=known > 0)
        return rates

    def figures(self, episodes: Episodes) -> dict[str, Any]:
        """The figures after an iteration in which `episodes` ended: of all levels together, and under "tasks" of each.

        success: over the last `window` episodes of each level, and their mean over levels; success_now, return_mean,
        length_mean: over this iteration's episodes. None where there was no episode.
        """
        recent = self.success()
        tasks = {
            level: {
                "episodes": int(self.episodes[task]),
                "success": _number(recent[task]),
                **_of(episodes, episodes.task == task),
            }
            for task, level in enumerate(self.levels)
        }
        return {
            "episodes": int(self.episodes.sum()),
            "episodes_now": len(episodes.task),
            "success": _number(recent.mean()),
            **_of(episodes, np.ones(len(episodes.task), np.bool_)),
            "tasks": tasks,
        }

    def state(self) -> dict[str, NDArray[Any]]:
        """All that `load` needs."""
        return {"episodes": self.episodes.copy(), "recent": self._recent.copy()}

    def load(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what `state` gave."""
        self.episodes[:] = state["episodes"]
        self._recent[:] = state["recent"]


def _of(episodes: Episodes, chosen: NDArray[np.bool_]) -> dict[str, float | None]:
    if not chosen.any():
        return {"success_now": None, "return_mean": None, "length_mean": None}
    reward = episodes.reward[chosen]
    return {
        "success_now": float((reward > 0).mean()),
        "return_mean": float(reward.mean()),
        "length_mean": float(episodes.length[chosen].mean()),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
