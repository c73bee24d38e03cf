"""Scores of answers that stand in a text: F1 of words and exact match, as SQuAD's script counts them."""

from collections.abc import Sequence
from typing import Any

from polyray.metrics.matching import exact_match, qa_f1


class SpanF1:
    """F1 of words with the best accepted answer (SQuAD's f1); with exact match."""

    name, scores = "Span-F1", "spans"

    def score(self, predictions: Sequence[str], examples: Sequence[Any]) -> dict[str, float]:
        """Both, of texts without case, punctuation, articles and spare spaces. Rajpurkar et al. 2016, section 6.1.

        Raises:
            ValueError: there are no examples, or not one prediction for each.
        """
        answers = [example.answers for example in examples]
        return {self.name: qa_f1(predictions, answers), "exact_match": exact_match(predictions, answers)}


class SpanMatch:
    """Share of answers that equal an accepted one (SQuAD's exact match); with F1 of words."""

    name, scores = "Span-EM", "spans"

    def score(self, predictions: Sequence[str], examples: Sequence[Any]) -> dict[str, float]:
        """Both, as `SpanF1.score`.

        Raises:
            ValueError: there are no examples, or not one prediction for each.
        """
        answers = [example.answers for example in examples]
        return {self.name: exact_match(predictions, answers), "f1": qa_f1(predictions, answers)}
