"""Ray Tune's schedulers by the names of `polyray.sweeps.schedulers.SCHEDULERS`."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from polyray.cluster.sweeping.overseers import GOAL
from polyray.sweeps.options import SweepOptions
from polyray.sweeps.space import Goal

TIME = "training_iteration"  # counts a trial's reports, one for each validation; Tune's own default may be seconds
NEVER: Any = math.inf  # declared as a whole number
MOST = 1_000_000  # validations of a trial: rungs lie below it, and none is its last


def _none(options: SweepOptions, goal: Goal) -> TrialScheduler:
    return FIFOScheduler()


def _population(options: SweepOptions, goal: Goal) -> TrialScheduler:
    """Every piece of training that a population is given runs to its end; `PopulationSearcher` does the rest."""
    return FIFOScheduler()


def _asha(options: SweepOptions, goal: Goal) -> TrialScheduler:
    return AsyncHyperBandScheduler(
        time_attr=TIME, metric=GOAL, mode=goal.mode, max_t=MOST, grace_period=options.grace,
        reduction_factor=options.factor, stop_last_trials=False,
    )  # fmt: skip


def _median(options: SweepOptions, goal: Goal) -> TrialScheduler:
    return MedianStoppingRule(
        time_attr=TIME, metric=GOAL, mode=goal.mode, grace_period=options.grace,
        min_time_slice=NEVER,  # it would pause trials to hear of others first, and a trial takes a pause for its end
    )  # fmt: skip


MAKERS: Mapping[str, Callable[[SweepOptions, Goal], TrialScheduler]] = {
    "none": _none,
    "asha": _asha,
    "median": _median,
    "pbt": _population,
    "pb2": _population,
}


def scheduler_of(options: SweepOptions, goal: Goal) -> TrialScheduler:
    """The scheduler that the options name."""
    return MAKERS[options.scheduler](options, goal)
