"""Means of a few seeds with their 95 % intervals."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """A mean and the ends of its 95 % interval, infinite for a single value."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean of at least one value, with Student's t interval."""
    from scipy.stats import t  # noqa: PLC0415  (takes a second)

    mean, n = statistics.mean(values), len(values)
    if n == 1:
        return Interval(mean, -math.inf, math.inf)
    half = float(t.ppf(0.975, n - 1)) * statistics.stdev(values) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)


def geometric_interval(values: Sequence[float]) -> Interval:
    """Geometric mean of positive values, with Student's t interval of their logarithms."""
    interval = mean_interval([math.log(value) for value in values])
    return Interval(*(math.exp(end) for end in interval))


def ratio_interval(values: Sequence[float], references: Sequence[float]) -> Interval:
    """Geometric mean of the ratios of values to references of the same seeds, with its interval."""
    return geometric_interval([value / other for value, other in zip(values, references, strict=True)])
