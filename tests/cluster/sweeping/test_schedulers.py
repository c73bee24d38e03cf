"""Schedulers stop the same trials, whether the goal is a score that is to be large or a loss that is to be small."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from ray.tune.schedulers import TrialScheduler

from polyray.cluster.sweeping.overseers import GOAL
from polyray.cluster.sweeping.schedulers import scheduler_of
from polyray.sweeps.options import SweepOptions
from polyray.sweeps.space import Goal

N_TRIALS, N_VALIDATIONS, GRACE = 6, 9, 2


@dataclass(frozen=True)
class ToyTrial:
    """All that these schedulers ask of Tune's trial."""

    trial_id: str
    status: str = "RUNNING"


def stopped(scheduler: str, mode: Literal["max", "min"]) -> dict[int, int]:
    """The validation after which each trial was stopped; all report in turn, the last trial is always the best."""
    goal = Goal("validation.score", "max") if mode == "max" else Goal("validation.loss", "min")
    options = SweepOptions.model_validate({"scheduler": scheduler, "grace": GRACE, "searcher": "random"})
    waiting = [ToyTrial("waiting", "PENDING")]  # for room: no reason to pause one that runs
    judge: TrialScheduler = scheduler_of(options, goal)
    controller: Any = SimpleNamespace(get_live_trials=lambda: waiting)
    trials: list[Any] = [ToyTrial(str(number)) for number in range(N_TRIALS)]
    for trial in trials:
        judge.on_trial_add(controller, trial)
    ends: dict[int, int] = {}
    for time in range(1, N_VALIDATIONS + 1):
        for number in reversed(range(N_TRIALS)):  # the best reports first
            if number not in ends:
                score = (number + 1) * time  # grows, and a loss of its negative falls
                value = {"training_iteration": time, GOAL: goal.sign * score}
                action = judge.on_trial_result(controller, trials[number], value)
                assert action in (TrialScheduler.CONTINUE, TrialScheduler.STOP), action
                if action == TrialScheduler.STOP:
                    ends[number] = time
    return ends


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_worst_trials_are_stopped_after_the_grace_and_the_best_is_not(mode: Literal["max", "min"]) -> None:
    assert stopped("none", mode) == stopped("pbt", mode) == stopped("pb2", mode) == {}
    # best of trial n so far: 2 (n + 1); averages of the others over two validations: 1.5 (m + 1), of which at least
    # three have to be there, so that trials 5, 4 and 3 are not judged at first
    median = stopped("median", mode)
    assert {number for number, time in median.items() if time == GRACE} == {0, 1, 2} and 5 not in median
    halving = stopped("asha", mode)  # rungs 2 and 6: a third goes on
    assert min(halving.values()) == GRACE and 5 not in halving and {0, 1, 2, 3} <= halving.keys()
