"""A metric of some examples in a form from which its value for any sample of them follows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Measurement:
    """One metric of N responses.

    Attributes:
        values: [N], that of each response; NaN where the metric says nothing about it.
        statistics: [N, K], numbers of each response whose sums over a sample give its value.
        total: from sums [..., K] to values [...].
    """

    values: Floats
    statistics: Floats
    total: Callable[[Floats], Floats]

    @classmethod
    def averaged(cls, values: Sequence[float]) -> Self:
        """The mean over examples; those with NaN are left out."""
        each = np.asarray(values, dtype=np.float64)
        counted = ~np.isnan(each)
        return cls(values=each, statistics=np.stack([np.where(counted, each, 0.0), counted], axis=1), total=mean)

    def spread(self, indices: Sequence[int], n: int) -> Self:
        """The same of `n` examples, among which those measured stand at `indices`; the others count nothing."""
        values, statistics = np.full(n, np.nan), np.zeros((n, self.statistics.shape[1]))
        values[list(indices)], statistics[list(indices)] = self.values, self.statistics
        return replace(self, values=values, statistics=statistics)

    @property
    def value(self) -> float:
        """The value of all examples together; NaN where it says nothing about any."""
        return float(self.total(self.statistics.sum(axis=0)))

    @property
    def n(self) -> int:
        """Examples that the metric says something about."""
        return int((~np.isnan(self.values)).sum())


def mean(sums: Floats) -> Floats:
    """Means of sums and counts [..., 2] -> [...]; NaN where nothing is counted."""
    counts = sums[..., 1]
    return np.asarray(np.where(counts > 0, sums[..., 0] / np.maximum(counts, 1.0), np.nan))
