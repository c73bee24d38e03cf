"""chrF: overlap of n-grams of characters, with statistics that can be summed over any sample."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from polyray.metrics.measurement import Floats, Measurement

ORDER = 6  # characters of the longest n-grams
BETA = 2  # weight of recall


def chrf(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """Corpus chrF2 from 0 to 1, and that of each response, of characters without spaces.

    Popović 2015 (aclanthology.org/W15-3049), as sacrebleu counts it by default; of several references the best counts.
    """
    statistics = np.asarray(
        [_best(text, texts) for text, texts in zip(predictions, references, strict=True)], dtype=np.float64
    ).reshape(-1, 3 * ORDER)
    return Measurement(values=corpus_chrf(statistics), statistics=statistics, total=corpus_chrf)


def corpus_chrf(sums: Floats) -> Floats:
    """chrF2 from n-grams of the prediction, of the reference, and matches, of each order: [..., 18] -> [...].

    Precision and recall are means over the orders that both sides have n-grams of.
    """
    predicted, true, matches = (sums[..., start::3] for start in range(3))  # [..., 6] each
    both = (predicted > 0) & (true > 0)
    orders = np.maximum(both.sum(axis=-1), 1)
    precision = (matches / np.maximum(predicted, 1.0) * both).sum(axis=-1) / orders
    recall = (matches / np.maximum(true, 1.0) * both).sum(axis=-1) / orders
    weighed = BETA**2 * precision + recall
    return np.asarray(
        np.where(weighed > 0, (1 + BETA**2) * precision * recall / np.where(weighed > 0, weighed, 1.0), 0)
    )


def _best(prediction: str, references: Sequence[str]) -> Floats:
    """[18], the statistics with the reference for which they give the highest value."""
    candidates = np.asarray([_statistics(prediction, reference) for reference in references], dtype=np.float64)
    best: Floats = candidates[int(np.argmax(corpus_chrf(candidates)))]
    return best


def _statistics(prediction: str, reference: str) -> list[int]:
    numbers = []
    for order in range(1, ORDER + 1):
        left, right = _n_grams(prediction, order), _n_grams(reference, order)
        numbers += [left.total() if right else 0, right.total(), (left & right).total()]
    return numbers


def _n_grams(text: str, order: int) -> Counter[str]:
    characters = "".join(text.split())
    return Counter(characters[start : start + order] for start in range(len(characters) - order + 1))
