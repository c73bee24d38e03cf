"""Intervals and paired tests of metrics whose value for any sample follows from sums over its examples.

N examples have statistics [N, K] (a value and a count of 1, say, or the n-grams that BLEU counts), and a function takes
their sums over a sample [..., K] to the metric's value [...]. So no sample is scored anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from polyray.analysis.bootstrap import interval

Floats = NDArray[np.float64]
Total = Callable[[Floats], Floats]
Test = Literal["bootstrap", "randomisation"]

_CELLS = 2**22  # numbers drawn at a time: 32 MiB


def resampled_totals(statistics: Floats, total: Total, n_draws: int, seed: int) -> Floats:
    """Values [D] for `n_draws` samples of as many examples as there are, drawn with replacement.

    The samples are those of `polyray.analysis.bootstrap.resampled_scores`, so that two systems on the same examples get
    the same ones. Koehn 2004 (aclanthology.org/W04-3250), section 3.
    """
    return total(_resampled_sums(statistics, n_draws, seed))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Value of a second system minus that of a first, with a bootstrap interval and a two-sided p."""

    value: float
    low: float
    high: float
    p: float


def paired_difference(
    first: Floats, second: Floats, total: Total, *, test: Test, n_draws: int, seed: int, share: float = 0.95
) -> Difference:
    """Difference by which a second system is better than a first on the same examples, with its certainty.

    The interval holds the middle `share` of the differences on resampled examples. p is the share of draws under the
    hypothesis of no difference that differ at least as much, the two systems as they are being one of the draws. The
    draws are for `randomisation` the systems with the outputs of random examples exchanged (Riezler & Maxwell 2005,
    aclanthology.org/W05-0908, section 3), and for `bootstrap` the resampled differences moved to mean 0.

    Samples for which the metric says nothing are left out.

    Args:
        first, second: statistics [N, K] of the same examples in the same order.
    """
    resampled = resampled_totals(second, total, n_draws, seed) - resampled_totals(first, total, n_draws, seed)
    resampled = resampled[~np.isnan(resampled)]
    value = float(total(second.sum(axis=0)) - total(first.sum(axis=0)))
    low, high = interval(resampled.tolist(), share)
    null = _exchanged(first, second, total, n_draws, seed) if test == "randomisation" else resampled - resampled.mean()
    extreme = np.abs(null) >= abs(value) - 1e-12 * max(1.0, abs(value))  # equal up to the order of their sums
    return Difference(value=value, low=low, high=high, p=float((extreme.sum() + 1) / (len(null) + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p of each of several tests, adjusted so that one threshold holds for all of them together.

    Holm 1979 (jstor.org/stable/4615733).
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _exchanged(first: Floats, second: Floats, total: Total, n_draws: int, seed: int) -> Floats:
    """[D], the differences where each example's outputs change sides with probability 1/2."""
    generator, change = np.random.default_rng([seed, len(first)]), second - first
    sums = []
    for rows in _blocks(n_draws, len(first)):
        sides = generator.integers(0, 2, (rows, len(first))).astype(np.float64)
        sums.append(sides @ change)
    moved = np.concatenate(sums)
    return total(second.sum(axis=0) - moved) - total(first.sum(axis=0) + moved)


def _resampled_sums(statistics: Floats, n_draws: int, seed: int) -> Floats:
    """[D, K], the sums of `statistics` over each sample."""
    n = len(statistics)
    generator, sums = np.random.default_rng([seed, n]), []
    for rows in _blocks(n_draws, n):
        draws = generator.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(draws.ravel(), minlength=rows * n).reshape(rows, n)
        sums.append(counts.astype(np.float64) @ statistics)
    return np.concatenate(sums)


def _blocks(n_draws: int, n_examples: int) -> Iterator[int]:
    """Numbers of draws that are made at a time."""
    size = max(1, _CELLS // max(1, n_examples))
    for start in range(0, n_draws, size):
        yield min(size, n_draws - start)
