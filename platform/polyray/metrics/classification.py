"""Scores over all predictions of a classification task: macro F1 and the correlation of Matthews."""

from collections.abc import Sequence

from sklearn.metrics import f1_score, matthews_corrcoef

from polyray.metrics.pairs import paired

_ACCEPTABLE = "acceptable"  # the positive class of CoLA, the only CrossFit task scored by Matthew-Correlation


def macro_f1(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """F1 of each label, averaged over the labels that occur as first answer or as prediction."""
    wanted, found = _numbered([(accepted[0], prediction) for prediction, accepted in paired(predictions, answers)])
    return float(f1_score(wanted, found, average="macro", zero_division=0.0))


def matthews_correlation(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Matthews' correlation of predicted and first accepted labels, 0 where all examples or all predictions are alike.

    Where "acceptable" is an answer every other text counts as its opposite, as CrossFit does for CoLA; otherwise every
    text is a label of its own (Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006).
    """
    labels = [(accepted[0], prediction) for prediction, accepted in paired(predictions, answers)]
    if any(answer == _ACCEPTABLE for answer, _ in labels):
        labels = [(str(answer == _ACCEPTABLE), str(found == _ACCEPTABLE)) for answer, found in labels]
    wanted, found = _numbered(labels)
    if len(set(wanted)) == 1 or len(set(found)) == 1:
        return 0.0
    return float(matthews_corrcoef(wanted, found))


def _numbered(labels: Sequence[tuple[str, str]]) -> tuple[list[int], list[int]]:
    """Labels as numbers: arrays of texts would lose trailing NUL characters."""
    number = {label: position for position, label in enumerate(sorted({label for pair in labels for label in pair}))}
    return [number[wanted] for wanted, _ in labels], [number[found] for _, found in labels]
