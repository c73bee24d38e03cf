"""Success, return and length of episodes, level by level: the figures of an iteration's report.

Nothing here imports Ray.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyray.rl.episodes import Episodes

LATEST = np.iinfo(np.int64).max


class Tally:
    """Counts of every level's episodes, and of the successes among the last `window` that count.

    An episode counts once all episodes of its level that began before it have ended, so that what counts is always the
    beginning of the sequence in which they began. The episodes that end first are the successes: only these can end
    before the step limit. A rate over the last ones to end says 1 at the beginning, however bad the policy.
    """

    def __init__(self, levels: Sequence[str], window: int = 100) -> None:
        self.levels, self.window = tuple(levels), window
        self.ended = np.zeros(len(levels), np.int64)
        self.counted = np.zeros(len(levels), np.int64)
        self._steps = 0  # that each environment has taken so far
        self._waiting = Episodes.none()  # ended, but not all that began before them
        self._recent = np.zeros((len(levels), window), np.bool_)  # episode number e is in column e % window

    def add(self, ended: Episodes, running: Episodes, steps: int) -> Episodes:
        """Add a rollout of `steps` steps in every environment: the episodes that count now, in order of their starts.

        Args:
            ended: episodes that ended in it.
            running: all that are under way after it.
        """
        self.ended += np.bincount(ended.task, minlength=len(self.levels))
        waiting = Episodes.join([self._waiting, ended.moved(self._steps)])
        waiting = waiting.at(np.argsort(waiting.order, kind="stable"))
        oldest = np.full(len(self.levels), LATEST)  # order of the first episode of each level that is under way
        np.minimum.at(oldest, running.task, running.moved(self._steps).order)
        counts = waiting.order < oldest[waiting.task]
        self._waiting, now = waiting.at(~counts), waiting.at(counts)
        self._steps += steps
        for level in range(len(self.levels)):
            self._count(level, now.reward[now.task == level] > 0)
        return now

    def _count(self, level: int, success: NDArray[np.bool_]) -> None:
        columns = (self.counted[level] + np.arange(len(success))) % self.window
        self._recent[level, columns[-self.window :]] = success[-self.window :]
        self.counted[level] += len(success)

    def success(self) -> NDArray[np.float64]:
        """Share of successes among the last `window` episodes that count of each level, [levels]; NaN without any."""
        counts = np.minimum(self.counted, self.window)
        successes = np.array([row[:n].sum() for row, n in zip(self._recent, counts, strict=True)], np.float64)
        rates: NDArray[np.float64] = np.divide(successes, counts, out=np.full(len(counts), np.nan), where=counts > 0)
        return rates

    def figures(self, now: Episodes) -> dict[str, Any]:
        """Figures of an iteration in which the episodes `now` began to count, of all levels together and by level.

        episodes: that have ended; counted: those of them that count. success: over the last `window` that count of each
        level, and the mean of these over levels; success_now, return_mean, length_mean: over `now`. None where there is
        no episode.
        """
        recent = self.success()
        tasks = {
            level: {
                "episodes": int(self.ended[number]),
                "counted": int(self.counted[number]),
                "success": _number(recent[number]),
                **_means(now.at(now.task == number)),
            }
            for number, level in enumerate(self.levels)
        }
        return {
            "episodes": int(self.ended.sum()),
            "counted": int(self.counted.sum()),
            "counted_now": len(now),
            "success": _number(recent.mean()),
            **_means(now),
            "tasks": tasks,
        }

    def state(self) -> dict[str, Any]:
        """All that `load` needs."""
        return {
            "ended": self.ended.copy(), "counted": self.counted.copy(), "recent": self._recent.copy(),
            "steps": self._steps, "waiting": {name: array.copy() for name, array in vars(self._waiting).items()},
        }  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.ended[:], self.counted[:], self._recent[:] = state["ended"], state["counted"], state["recent"]
        self._steps, self._waiting = state["steps"], Episodes(**state["waiting"])


def _means(episodes: Episodes) -> dict[str, float | None]:
    """Success, return and length over some episodes."""
    if not len(episodes):
        return {"success_now": None, "return_mean": None, "length_mean": None}
    return {
        "success_now": float((episodes.reward > 0).mean()),
        "return_mean": float(episodes.reward.mean()),
        "length_mean": float(episodes.length.mean()),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
