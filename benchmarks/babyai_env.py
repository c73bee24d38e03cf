"""Steps per second of BabyAI environments with random actions, resets included: Polyray's batches over minigrid's.

One process on one core runs both in turn and counts processor time, so that ratios hold whatever else the machine does.
minigrid's side is a plain loop over as many environments; Polyray's is `BabyAIVectorEnv` as a user makes it, whose
observations are copies. The first episodes begin at a random step of their limit, so that resets come at their usual
rate from the first step on; a step in which an environment only resets is not counted. Start states are new levels
("fresh"), or drawn from 1,024 that were generated beforehand ("pool").
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import gymnasium
import minigrid
import numpy as np
from numpy.typing import NDArray

from benchmarks.table import show
from polyray.envs.engine.engine import Starts
from polyray.envs.engine.state import State, copy_rows, empty
from polyray.envs.levels import LEVELS, Level
from polyray.envs.minigrid.vector import BabyAIVectorEnv
from polyray.envs.starts.seeded import SeededStarts

CASES = (
    *(("GoToLocal", 16), ("GoToLocal", 64), ("GoToLocal", 256)),
    *(("PutNextLocal", 256), ("GoTo", 256), ("BossLevel", 256)),
)
POOL = 1024  # start states
MINIGRID_STEPS, POLYRAY_STEPS = 2_048, 65_536  # of a round, at least
Run = Callable[[], int]  # takes some steps and returns how many


def minigrid_run(level: Level, n: int) -> Run:
    """Make a loop over n of minigrid's environments."""
    draw = np.random.default_rng(0)
    envs: list[Any] = [gymnasium.make(level.env_id, disable_env_checker=True).unwrapped for _ in range(n)]
    for number, env in enumerate(envs):
        env.reset(seed=number)
        env.step_count = int(draw.integers(env.max_steps))
    sweeps = -(-MINIGRID_STEPS // n)

    def run() -> int:
        """Step every environment `sweeps` times."""
        for actions in draw.integers(0, 7, (sweeps, n)).tolist():
            for env, action in zip(envs, actions, strict=True):
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
        return sweeps * n

    return run


def polyray_run(level: Level, n: int, starts: Starts | None) -> Run:
    """Make a loop over the batched environment with n rows."""
    draw = np.random.default_rng(0)
    env = BabyAIVectorEnv(n, level=level.name, starts=starts)
    env.reset(seed=0)
    env.state.steps[:] = draw.integers(env.state.limit)
    sweeps = -(-POLYRAY_STEPS // n)

    def run() -> int:
        """Step the batch `sweeps` times."""
        resets = 0
        for actions in draw.integers(0, 7, (sweeps, n)):
            _, _, terminated, truncated, _ = env.step(actions)
            resets += int(np.count_nonzero(terminated | truncated))
        return sweeps * n - resets

    return run


class Pool:
    """Source of start states that draws at random from a fixed set."""

    def __init__(self, level: Level) -> None:
        self._states, self._draw = empty(POOL, level.height, level.width), np.random.default_rng(0)
        seeded, rows = SeededStarts((level,), POOL), np.arange(POOL)
        seeded.seed(0, rows)
        seeded.fill(self._states, rows, np.zeros(POOL, np.int64))

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        """Write a start state of the pool into each of `rows`."""
        copy_rows(self._states, self._draw.integers(POOL, size=len(rows)), state, rows)


def measure(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Median steps per second of processor time of each run, in turn, after one round that is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.process_time()
            steps = run()
            if number:
                rates[name].append(steps / (time.process_time() - started))
    return {name: statistics.median(each) for name, each in rates.items()}


def rows_of(name: str, n: int, rounds: int) -> list[dict[str, Any]]:
    """A row for fresh levels and one for the pool, with n environments of the level called `name`."""
    level = LEVELS[name]
    with redirect_stdout(StringIO()):  # minigrid prints why it begins a level anew
        polyray_runs = {"fresh": polyray_run(level, n, None), "pool": polyray_run(level, n, Pool(level))}
        rates = measure({"minigrid": minigrid_run(level, n), **polyray_runs}, rounds)
    return [
        {
            "level": name,
            "environments": n,
            "starts": starts,
            "minigrid_steps_per_s": round(rates["minigrid"]),
            "polyray_steps_per_s": round(rates[starts]),
            "over_minigrid": rates[starts] / rates["minigrid"],
        }
        for starts in polyray_runs
    ]


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    rows = [row for name, n in CASES for row in rows_of(name, n, arguments.rounds)]
    show(f"BabyAI environments on one core (minigrid {minigrid.__version__})", rows, arguments.json)


if __name__ == "__main__":
    main()
