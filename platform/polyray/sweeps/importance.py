"""Importance of the fields of a sweep for its goal: functional analysis of variance (Hutter et al. 2014), by Optuna."""

from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator

from polyray.sweeps.fields import Axis, Field, Value
from polyray.sweeps.positions import position
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.rows import TrialRow

MIN_TRIALS, MOST_TRIALS = 10, 300  # the cost grows with the square


def importances(record: SweepRecord) -> dict[str, float]:
    """Share of the goal's variance over the space that each field explains, largest first; none for too few trials.

    Trials that have ended with a goal count. Fields that only some of them read are judged among those, where there are
    10 of them and their goals differ. Of more than 300 trials every second one, or third and so on, counts.
    """
    shares: dict[str, float] = {}
    for name in record.varied:
        if name in shares:
            continue
        rows = [row for row in record.scored if name in row.fields]
        together = [other for other in record.varied if all(other in row.fields for row in rows)]
        if len(rows) >= MIN_TRIALS and len({row.goal for row in rows}) > 1:
            rows = rows[:: -(-len(rows) // MOST_TRIALS)]
            for other, share in _variance_shares(record, rows, together).items():
                shares.setdefault(other, share)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _variance_shares(record: SweepRecord, rows: Sequence[TrialRow], names: Sequence[str]) -> dict[str, float]:
    """Shares of the variance over `rows` that the fields `names`, which all of them have, explain."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # else it prints a line for every study
    study, domains = optuna.create_study(), {name: _domain(record.space.fields[name].axis) for name in names}
    for row in rows:
        coordinates = {name: _coordinate(record.space.fields[name], row.fields[name]) for name in names}
        study.add_trial(optuna.create_trial(params=coordinates, distributions=domains, value=row.goal))
    shares = FanovaImportanceEvaluator(seed=0).evaluate(study, params=list(names))
    return {name: float(share) for name, share in shares.items()}


def _domain(axis: Axis) -> BaseDistribution:
    """Names, or a stretch of length 1, in logarithms where distances count so."""
    if not axis.ordered:
        return CategoricalDistribution(range(int(axis.high) + 1))
    return FloatDistribution(0.0, 1.0)


def _coordinate(field: Field, value: Value) -> float:
    return position(field, value) if field.axis.ordered else field.coordinate(value)
