"""Figures of episodes, level by level, which count in the order in which they began."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from polyray.rl.episodes import Episodes
from polyray.rl.tally import Tally

NONE = Episodes.none()


def episodes_of(*rows: tuple[int, float, int, int, int]) -> Episodes:
    """Episodes by level, reward, length, first step and environment."""
    task, reward, length, started, environment = zip(*rows, strict=True)
    return Episodes(
        task=np.array(task), reward=np.array(reward, np.float32), length=np.array(length), started=np.array(started),
        environment=np.array(environment),
    )  # fmt: skip


def test_figures_of_five_episodes_worked_by_hand() -> None:
    tally = Tally(["a", "b", "c"], window=2)
    tally.add(episodes_of((0, 0.9, 10, 0, 0), (0, 0.9, 10, 0, 1)), NONE, 10)
    latest = tally.add(episodes_of((0, 0.0, 64, 0, 0), (1, 0.5, 20, 0, 1), (0, 0.25, 30, 64, 0)), NONE, 94)
    figures = tally.figures(latest)
    tasks = figures.pop("tasks")
    # the last two of level a are a failure and a success; level c has none, so there is no mean over levels yet
    assert figures == {
        "episodes": 5, "counted": 5, "counted_now": 3, "success": None, "success_now": pytest.approx(2 / 3),
        "return_mean": pytest.approx(0.25), "length_mean": pytest.approx(38.0),
    }  # fmt: skip
    assert tasks["a"] == {
        "episodes": 4, "counted": 4, "success": 0.5, "success_now": 0.5, "return_mean": 0.125, "length_mean": 47.0
    }  # fmt: skip
    assert tasks["b"] == {
        "episodes": 1, "counted": 1, "success": 1.0, "success_now": 1.0, "return_mean": 0.5, "length_mean": 20.0
    }  # fmt: skip
    assert tasks["c"] == {
        "episodes": 0, "counted": 0, "success": None, "success_now": None, "return_mean": None, "length_mean": None
    }  # fmt: skip
    tally.add(episodes_of((2, 0.5, 1, 0, 0)), NONE, 1)
    assert tally.figures(latest)["success"] == pytest.approx((0.5 + 1 + 1) / 3)


def test_an_episode_counts_once_all_that_began_before_it_have_ended() -> None:
    tally = Tally(["a", "b"], window=10)
    slow, fast = episodes_of((0, 0.0, 8, 0, 0)), episodes_of((0, 0.9, 3, 0, 1), (1, 0.9, 3, 0, 2), (0, 0.9, 3, 3, 1))
    assert len(tally.add(fast, slow, 8)) == 1, "the episode of level b alone: one of level a began before the others"
    assert tally.ended.tolist() == [2, 1] and tally.counted.tolist() == [0, 1]
    later = tally.add(episodes_of((0, 0.0, 12, -8, 0)), episodes_of((0, 0.0, 4, 0, 0)), 4)
    assert later.length.tolist() == [12, 3, 3] and tally.success().tolist() == [pytest.approx(2 / 3), 1.0]


@dataclass
class Simulation:
    """Environments of two levels whose successes are short and whose failures run into the limit, one by one."""

    random: np.random.Generator
    n: int
    chance: tuple[float, float] = (0.3, 0.8)
    begun: list[tuple[int, bool | None]] = field(default_factory=list)  # level and success in order of the starts

    def rollouts(self, steps: int, n_rollouts: int, limit: int = 50) -> Iterator[tuple[Episodes, Episodes]]:
        """The episodes that ended in each rollout, and those under way after it."""
        current = [self._begin(environment % 2, limit) for environment in range(self.n)]
        for _ in range(n_rollouts):
            ended = []
            for step in range(steps):
                for environment in range(self.n):
                    index, left, length = current[environment]
                    current[environment] = (index, left - 1, length + 1)
                    if left == 1:
                        level, success = self.begun[index][0], length + 1 < limit
                        self.begun[index] = (level, success)
                        ended.append((level, 0.5 * success, length + 1, step - length, environment))
                        level = int(self.random.integers(2))  # another level for the next episode
                        current[environment] = (-1 - level, 0, 0)
                for environment in range(self.n):  # those that ended begin anew together, in order of environments
                    if current[environment][0] < 0:
                        current[environment] = self._begin(-1 - current[environment][0], limit)
            running = [
                (self.begun[index][0], 0.0, length, steps - length, e) for e, (index, _, length) in enumerate(current)
            ]
            yield episodes_of(*ended) if ended else NONE, episodes_of(*running)

    def _begin(self, level: int, limit: int) -> tuple[int, int, int]:
        self.begun.append((level, None))
        succeeds = self.random.random() < self.chance[level]
        return len(self.begun) - 1, int(self.random.integers(1, 10)) if succeeds else limit, 0

    def finished(self, level: int) -> list[bool]:
        """Successes of the level's episodes before the first that has not ended."""
        outcomes = [success for number, success in self.begun if number == level]
        first = outcomes.index(None) if None in outcomes else len(outcomes)
        return [bool(success) for success in outcomes[:first]]


def test_counts_are_those_of_a_slow_simulation_also_after_a_restart() -> None:
    wrong = []
    for seed, window in enumerate((100, 7, 1)):
        simulation, tally = Simulation(np.random.default_rng(seed), n=12), Tally(["a", "b"], window)
        for number, (ended, running) in enumerate(simulation.rollouts(8, 60)):
            tally.add(ended, running, 8)
            restored = Tally(["a", "b"], window)
            restored.load(tally.state())
            tally = restored
            finished = [simulation.finished(level) for level in range(2)]
            rates = [np.mean(x[-window:]) if x else np.nan for x in finished]
            if tally.counted.tolist() != [len(x) for x in finished] or tally.success() != pytest.approx(
                np.array(rates), nan_ok=True
            ):
                wrong.append((seed, number))
        done = [sum(success is not None for level, success in simulation.begun if level == k) for k in range(2)]
        assert tally.ended.tolist() == done
    assert not wrong


def test_a_policy_that_does_not_learn_never_seems_better_than_it_is() -> None:
    """The first full window is that of one success in two; those that end first are all successes."""
    first_to_end, counted = [], []
    for seed in range(60):
        simulation = Simulation(np.random.default_rng(seed), n=32, chance=(0.5, 0.5))
        tally, ends = Tally(["a", "b"], window=20), list[bool]()
        for ended, running in simulation.rollouts(8, 40):
            tally.add(ended, running, 8)
            ends += (ended.reward > 0).tolist()
            if tally.counted.min() >= 20:
                break
        counted.append(tally.success().mean())
        first_to_end.append(np.mean(ends[:20]))
    assert np.mean(first_to_end) > 0.9
    assert abs(np.mean(counted) - 0.5) < 3 * np.std(counted) / len(counted) ** 0.5
