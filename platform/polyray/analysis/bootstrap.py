"""Bootstrap intervals: the scores of test examples that are drawn again with replacement."""

from collections.abc import Callable, Sequence

import numpy as np


def resampled_scores(score: Callable[[Sequence[int]], float], n_examples: int, n_draws: int, seed: int) -> list[float]:
    """Scores of `n_draws` samples, each of as many examples as there are, drawn with replacement.

    Two systems that are scored on the same examples get the same samples, so that differences are paired.
    Koehn 2004 (aclanthology.org/W04-3250), sections 3 and 4.

    Args:
        score: from indices of examples to the metric of these.
    """
    draws = np.random.default_rng([seed, n_examples]).integers(0, n_examples, (n_draws, n_examples))
    return [score(indices.tolist()) for indices in draws]


def interval(values: Sequence[float], share: float = 0.95) -> tuple[float, float]:
    """The bounds between which the middle `share` of the values lies; both are NaN where there is none."""
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(np.asarray(values, dtype=np.float64), [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
