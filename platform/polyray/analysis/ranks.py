"""Agreement of a score with a judgement, by ranks: Spearman's correlation and the area under the ROC curve."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def spearman(first: Floats, second: Floats) -> Floats:
    """Spearman's rank correlation over the last axis, [..., N] and [..., N] -> [...]; 0 where one side is constant.

    Equal values share the mean of their ranks. Spearman 1904 (doi:10.2307/1412159).
    """
    left, right = (_centred(ranks(values)) for values in (first, second))
    scale = np.sqrt((left**2).sum(axis=-1) * (right**2).sum(axis=-1))
    return np.asarray(np.where(scale > 0, (left * right).sum(axis=-1) / np.where(scale > 0, scale, 1.0), 0.0))


def area_under_roc(scores: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Share of pairs of a positive and a negative example in which the positive one scores higher; ties count half.

    scores, positive [..., N] -> [...]; NaN where all examples are of one kind. Hanley & McNeil 1982
    (doi:10.1148/radiology.143.1.7063747).
    """
    n_positive = positive.sum(axis=-1)
    pairs = n_positive * (positive.shape[-1] - n_positive)
    above = (ranks(scores) * positive).sum(axis=-1) - n_positive * (n_positive + 1) / 2
    return np.asarray(np.where(pairs > 0, above / np.maximum(pairs, 1), np.nan))


def ranks(values: Floats) -> Floats:
    """Ranks from 1 over the last axis, equal values with the mean of theirs: [..., N] -> [..., N]."""
    from scipy.stats import rankdata  # scipy is slow to load

    ranked: Any = rankdata(values, axis=-1)
    return np.asarray(ranked, dtype=np.float64)


def _centred(values: Floats) -> Floats:
    return np.asarray(values - values.mean(axis=-1, keepdims=True))
