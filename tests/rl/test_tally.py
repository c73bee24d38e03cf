"""Figures of episodes, level by level."""

from collections import deque

import numpy as np
import pytest

from polyray.rl.rollout import Episodes
from polyray.rl.tally import Tally


def episodes_of(*triples: tuple[int, float, int]) -> Episodes:
    """Episodes by level, reward and length."""
    task, reward, length = zip(*triples, strict=True)
    return Episodes(task=np.array(task), reward=np.array(reward, np.float32), length=np.array(length))


def test_figures_of_five_episodes_worked_by_hand() -> None:
    tally = Tally(["a", "b", "c"], window=2)
    tally.add(episodes_of((0, 0.9, 10), (0, 0.9, 10)))
    latest = episodes_of((0, 0.0, 64), (1, 0.5, 20), (0, 0.25, 30))
    tally.add(latest)
    figures = tally.figures(latest)
    tasks = figures.pop("tasks")
    # the last two of level a are a failure and a success; level c has none, so there is no mean over levels yet
    assert figures == {
        "episodes": 5, "episodes_now": 3, "success": None, "success_now": pytest.approx(2 / 3),
        "return_mean": pytest.approx(0.25), "length_mean": pytest.approx(38.0),
    }  # fmt: skip
    assert tasks["a"] == {
        "episodes": 4, "success": 0.5, "success_now": 0.5, "return_mean": 0.125, "length_mean": 47.0
    }  # fmt: skip
    assert tasks["b"] == {
        "episodes": 1, "success": 1.0, "success_now": 1.0, "return_mean": 0.5, "length_mean": 20.0
    }  # fmt: skip
    assert tasks["c"] == {
        "episodes": 0, "success": None, "success_now": None, "return_mean": None, "length_mean": None
    }  # fmt: skip
    tally.add(episodes_of((2, 0.5, 1)))
    assert tally.figures(latest)["success"] == pytest.approx((0.5 + 1 + 1) / 3)


def test_the_success_rate_is_that_of_a_slow_count_over_the_window() -> None:
    for window in (100, 7):
        random = np.random.default_rng(0)
        tally, recent = Tally(["a", "b"], window), [deque[bool](maxlen=window) for _ in range(2)]
        for n in (0, 3, 250, 40, 77):
            episodes = Episodes(
                task=random.integers(0, 2, n), reward=random.choice(np.array([0, 0.7], np.float32), n),
                length=random.integers(1, 64, n),
            )  # fmt: skip
            tally.add(episodes)
            for level, reward in zip(episodes.task, episodes.reward, strict=True):
                recent[level].append(bool(reward > 0))
            expected = [np.mean(successes) if successes else np.nan for successes in recent]
            assert tally.success() == pytest.approx(np.array(expected), nan_ok=True)
        other = Tally(["a", "b"], window)
        other.load(tally.state())
        for copy in (tally, other):
            copy.add(episodes)
        assert other.figures(episodes) == tally.figures(episodes)
