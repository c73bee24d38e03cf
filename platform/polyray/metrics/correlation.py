"""The correlation of predicted and true numbers."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyray.metrics.pairs import paired


def pearson_correlation(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Pearson's correlation of the predicted numbers with the first answers, 0 where one side is constant.

    A prediction that is not a finite number counts as 0.

    Raises:
        ValueError: an answer is not a finite number.
    """
    pairs = paired(predictions, answers)
    targets = [number(accepted[0]) for _, accepted in pairs]
    if None in targets:
        raise ValueError(f"The answer {pairs[targets.index(None)][1][0]!r} is not a number.")
    predicted = [number(prediction) for prediction, _ in pairs]
    return _correlation(_centred([value or 0.0 for value in targets]), _centred([value or 0.0 for value in predicted]))


def number(text: str) -> float | None:
    """The finite number that `text` spells, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _centred(values: Sequence[float]) -> NDArray[np.float64]:
    """`values` [N] scaled to at most 1 and moved to mean 0, so that no square overflows; zeros if all are alike."""
    array = np.asarray(values, dtype=np.float64)
    if np.all(array == array[0]):
        return np.zeros_like(array)
    array = array / np.abs(array).max()
    return np.asarray(array - array.mean())


def _correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Cosine of two centred vectors [N], 0 where one of them is zero."""
    lengths = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(np.clip(left @ right / lengths, -1.0, 1.0)) if lengths > 0 else 0.0
