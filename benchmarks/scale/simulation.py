"""A sweep on many nodes in a simulation: one driver does everything in turn, and trials wait for it.

What a trial takes, what the driver does for it and how often nodes die are given; the simulation adds up who waits for
whom. Nothing else of a cluster is in it: no network, no storage, no control store.
"""

import heapq
import itertools
import math
import random
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep and its cluster.

    Attributes:
        slots: trials at a time.
        seconds: that a trial trains, on average; uniform between 1 - spread and 1 + spread times that.
        driver: seconds of the driver for a trial, all of them before it begins.
        reports: of a trial to the driver, evenly over its time.
        report: seconds of the driver for one.
        deaths: of a slot's node per hour.
        restart: seconds until a trial goes on elsewhere once its node has died.
        checkpoint: seconds of training between two checkpoints.
        boot: seconds until a slot is there.
    """

    trials: int
    slots: int
    seconds: float
    spread: float = 0.5
    driver: float = 0.0
    reports: int = 0
    report: float = 0.0
    deaths: float = 0.0
    restart: float = 60.0
    checkpoint: float = 60.0
    boot: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Time and losses of a sweep.

    Attributes:
        wall: seconds from its beginning to its end.
        used: share of the slots' time, once booted, in which a trial made progress that counts.
        busy: share of the time in which the driver worked.
        lost: seconds of training that dead nodes took with them.
        longest: seconds that a slot waited for the driver, at most.
    """

    wall: float
    used: float
    busy: float
    lost: float
    longest: float


class _Driver:
    """One process that does what it is asked, in the order in which it is asked."""

    def __init__(self) -> None:
        self.free, self.worked, self.longest = 0.0, 0.0, 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When it has done work of so many seconds that is asked for now."""
        begins = max(now, self.free)
        self.longest = max(self.longest, begins - now)
        self.free = begins + seconds
        self.worked += seconds
        return self.free


class _Trial(NamedTuple):
    """A trial of so many seconds that has trained for `progress` of them; `reports` if it has just reached a report."""

    seconds: float
    progress: float
    reports: bool


def simulate(sweep: Sweep, seed: int = 0) -> Outcome:
    """Run a sweep to its end."""
    rng, driver = random.Random(seed), _Driver()
    low, high = 1 - sweep.spread, 1 + sweep.spread
    waiting = deque(sweep.seconds * rng.uniform(low, high) for _ in range(sweep.trials))
    total, lost, now, slots = sum(waiting), 0.0, sweep.boot, min(sweep.slots, sweep.trials)
    order = itertools.count()
    events: list[tuple[float, int, _Trial | None]] = [(now, next(order), None) for _ in range(slots)]
    while events:
        now, _, trial = heapq.heappop(events)
        if trial is not None and trial.reports:
            driver.serve(now, sweep.report)  # the trial does not wait for it
        if trial is None or trial.progress >= trial.seconds:
            if not waiting:
                continue
            trial, begins = _Trial(waiting.popleft(), 0.0, reports=False), driver.serve(now, sweep.driver)
        else:
            begins = now
        seconds, trial, repeated = _next(sweep, trial, rng)
        lost += repeated
        heapq.heappush(events, (begins + seconds, next(order), trial))
    now = max(now, driver.free)  # the last reports
    span = now - sweep.boot
    return Outcome(wall=now, used=total / (slots * span), busy=driver.worked / span, lost=lost, longest=driver.longest)


def _next(sweep: Sweep, trial: _Trial, rng: random.Random) -> tuple[float, _Trial, float]:
    """Seconds until something happens to a trial that trains, how it stands then, and the seconds that it repeats."""
    reached = math.inf
    if sweep.reports:
        length = trial.seconds / sweep.reports
        reached = length * (math.floor(trial.progress / length + 1e-9) + 1)
    reports = reached < trial.seconds + 1e-6
    reached = min(reached, trial.seconds)
    dies = rng.expovariate(sweep.deaths / HOUR) if sweep.deaths else math.inf
    if trial.progress + dies >= reached:
        return reached - trial.progress, trial._replace(progress=reached, reports=reports), 0.0
    saved = max(trial.progress + dies - (trial.progress + dies) % sweep.checkpoint, 0.0)
    return dies + sweep.restart, trial._replace(progress=saved, reports=False), trial.progress + dies - saved
