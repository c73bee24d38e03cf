"""The trials of a sweep as one of Optuna's studies, and draws from its estimator. The only module with Optuna."""

import math
from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from polyray.sweeps.fields import Axis, Value
from polyray.sweeps.searchers.searcher import Search, Trial

DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}


class Study:
    """Draws like the good trials and unlike the others.

    The trials are taken in the order of their numbers, because the estimator weighs early ones less.
    """

    def __init__(self, search: Search) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # else it prints a line for every study
        self._space, self._directions = search.space, [DIRECTIONS[mode] for mode in search.modes]
        self._begin()

    def _begin(self) -> None:
        """Have no trials."""
        self._study = optuna.create_study(directions=self._directions)
        self._trials: list[Trial] = []
        self._indices: list[int] = []  # of the trials in Optuna's list
        self._size = 0  # of that list, in which draws stay as failures, which do not count

    def tell(self, trials: Sequence[Trial]) -> None:
        """Have these trials and no others; Optuna is told what is new since the last time, where it can be."""
        ordered = sorted(trials, key=lambda trial: trial.number)
        if len(ordered) < len(self._trials) or not all(map(self._goes_on, self._trials, ordered)):
            self._begin()
        for index, before, trial in zip(self._indices, self._trials, ordered, strict=False):
            state = state_of(trial, len(self._directions))
            if before.state == "running" and state != TrialState.RUNNING:
                self._study.tell(index, trial.goals if state == TrialState.COMPLETE else None, state=state)
        for trial in ordered[len(self._trials) :]:
            self._study.add_trial(self._stored(trial))
            self._indices.append(self._size)
            self._size += 1
        self._trials = ordered

    def _goes_on(self, before: Trial, trial: Trial) -> bool:
        """Whether `trial` is `before`, or its end, if it can be told: Optuna takes no goal of a stopped trial late."""
        if before is trial or before == trial:
            return True
        is_same = before.number == trial.number and before.fields == trial.fields
        return is_same and before.state == "running" and trial.state != "stopped"

    def draw(self, seed: int) -> dict[str, Value]:
        """The best of the draws that a seed gives; they do not count in others."""
        self._study.sampler = optuna.samplers.TPESampler(n_startup_trials=1, seed=seed)
        trial = self._study.ask()
        self._size += 1
        fields = self._space.walk(lambda name, field: field.at(_suggested(trial, name, field.axis)))
        self._study.tell(trial, state=TrialState.FAIL)
        return fields

    def _stored(self, trial: Trial) -> FrozenTrial:
        """The trial as Optuna has it."""
        fields = self._space.fields
        state = state_of(trial, len(self._directions))
        goals = trial.goals or ()
        return optuna.create_trial(
            state=state,
            params={name: fields[name].coordinate(value) for name, value in trial.fields.items()},
            distributions={name: _distribution(fields[name].axis) for name in trial.fields},
            values=goals if state == TrialState.COMPLETE else None,
            intermediate_values={trial.step: goals[0]} if state == TrialState.PRUNED else None,
        )


def state_of(trial: Trial, n_goals: int) -> TrialState:
    """Optuna's state of a trial: FAIL where it does not count."""
    if trial.state == "running":
        return TrialState.RUNNING
    if trial.state == "failed" or not trial.goals or not all(map(math.isfinite, trial.goals)):
        return TrialState.FAIL
    if trial.state == "stopped":
        return TrialState.PRUNED if n_goals == 1 else TrialState.FAIL
    return TrialState.COMPLETE


def _distribution(axis: Axis) -> BaseDistribution:
    if not axis.ordered:
        return CategoricalDistribution(range(int(axis.high) + 1))
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _suggested(trial: optuna.Trial, name: str, axis: Axis) -> float:
    if not axis.ordered:
        index: int = trial.suggest_categorical(name, range(int(axis.high) + 1))
        return index
    if axis.whole:
        return trial.suggest_int(name, int(axis.low), int(axis.high), log=axis.log)
    return trial.suggest_float(name, axis.low, axis.high, log=axis.log)
