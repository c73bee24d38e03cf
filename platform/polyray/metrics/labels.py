"""Scores of labels: accuracy and macro F1, each with the other beside it."""

from collections.abc import Sequence
from typing import Any

from polyray.metrics.classification import macro_f1
from polyray.metrics.pairs import paired


class LabelAccuracy:
    """Share of labels that are right; with macro F1."""

    name, scores = "Label-ACC", "labels"

    def score(self, predictions: Sequence[str], examples: Sequence[Any]) -> dict[str, float]:
        """The share, and the F1 averaged over the labels that are true or predicted somewhere.

        Raises:
            ValueError: there are no examples, or not one prediction for each.
        """
        accuracy, f1 = _scores(predictions, examples)
        return {self.name: accuracy, "macro_f1": f1}


class LabelF1:
    """F1 averaged over labels (macro F1); with accuracy."""

    name, scores = "Label-F1", "labels"

    def score(self, predictions: Sequence[str], examples: Sequence[Any]) -> dict[str, float]:
        """The F1 averaged over the labels that are true or predicted somewhere, and the share that is right.

        Raises:
            ValueError: there are no examples, or not one prediction for each.
        """
        accuracy, f1 = _scores(predictions, examples)
        return {self.name: f1, "accuracy": accuracy}


def _scores(predictions: Sequence[str], examples: Sequence[Any]) -> tuple[float, float]:
    """Accuracy and macro F1."""
    answers = [(example.label,) for example in examples]
    pairs = paired(predictions, answers)
    return sum(predicted == label for predicted, (label,) in pairs) / len(pairs), macro_f1(predictions, answers)
