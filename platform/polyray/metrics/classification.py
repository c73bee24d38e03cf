"""Scores over all predictions of a classification task: macro F1 and Matthews' correlation."""

import math
from collections import Counter
from collections.abc import Sequence

from polyray.metrics.pairs import paired

# Both scores are counted here and not by scikit-learn, whose import would be a seventh of the start of every worker.

ACCEPTABLE = "acceptable"  # the positive class of CoLA, the only CrossFit task scored by Matthews' correlation


def macro_f1(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """F1 of each label, averaged over the labels that occur as first answer or as prediction."""
    labels = [(accepted[0], prediction) for prediction, accepted in paired(predictions, answers)]
    hits = Counter(target for target, predicted in labels if target == predicted)
    occurrences = Counter(label for pair in labels for label in pair)  # true and predicted ones together
    return math.fsum(2 * hits[label] / occurrences[label] for label in occurrences) / len(occurrences)


def matthews_correlation(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Matthews' correlation of predicted and first accepted labels, 0 where all examples or all predictions are alike.

    If an answer is "acceptable", every other text counts as its opposite, as CrossFit does for CoLA; otherwise every
    text is a label by itself (Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006, equation 8).
    """
    labels = [(accepted[0], prediction) for prediction, accepted in paired(predictions, answers)]
    if any(target == ACCEPTABLE for target, _ in labels):
        return _correlation([(target == ACCEPTABLE, predicted == ACCEPTABLE) for target, predicted in labels])
    return _correlation(labels)


def _correlation(labels: Sequence[tuple[str, str] | tuple[bool, bool]]) -> float:
    """Covariance of the one-hot coded columns of `labels` over the root of their variances' product."""
    n, hits = len(labels), sum(target == predicted for target, predicted in labels)
    targets, predicted = (Counter(column) for column in zip(*labels, strict=True))
    covariance = n * hits - sum(targets[label] * predicted[label] for label in targets)
    variances = [n**2 - sum(count**2 for count in counts.values()) for counts in (targets, predicted)]
    return covariance / math.sqrt(math.prod(variances)) if all(variances) else 0.0
