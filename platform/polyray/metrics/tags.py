"""Scores of tagged sentences: F1 of entities, accuracy of tags."""

from collections.abc import Sequence
from typing import Any

Span = tuple[str, int, int]  # type, first word, last word
OUTSIDE = "O"
POSITIONS = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S"}  # of a word in its entity; BILOU's as BIOES's


def entities(tags: Sequence[str]) -> list[Span]:
    """The entities of a sentence whose tags are O or POSITION-TYPE, in their order.

    An entity begins at B and S, and at I and E where none of this type goes on; it ends at E and S, and before another
    one. So files in IOB1, IOB2, BIOES and BILOU are read alike. This is how conlleval and seqeval read tags that break
    the rules of a scheme. Ramshaw & Marcus 1995 (aclanthology.org/W95-0107), section 4.
    """
    spans: list[Span] = []
    goes_on = ""
    for index, tag in enumerate(tags):
        letter, _, kind = tag.partition("-")
        position = POSITIONS.get(letter, OUTSIDE)
        if position in ("I", "E") and kind == goes_on:
            spans[-1] = (kind, spans[-1][1], index)
        elif position != OUTSIDE:
            spans.append((kind, index, index))
        goes_on = kind if position in ("B", "I") else ""
    return spans


class EntityF1:
    """F1 of entities over all sentences: one counts as right if its type and both ends are."""

    name, scores = "Entity-F1", "tags"

    def score(self, predictions: Sequence[Sequence[str]], examples: Sequence[Any]) -> dict[str, float]:
        """F1, precision and recall; 1 where there are no entities and none is predicted.

        Tjong Kim Sang & De Meulder 2003 (aclanthology.org/W03-0419), section 3.

        Raises:
            ValueError: there are no sentences, or not one tag for each word.
        """
        n_right = n_predicted = n_true = 0
        for predicted, true in _paired(predictions, examples):
            spans, true_spans = set(entities(predicted)), set(entities(true))
            n_right += len(spans & true_spans)
            n_predicted, n_true = n_predicted + len(spans), n_true + len(true_spans)
        if n_predicted + n_true == 0:
            return {self.name: 1.0, "precision": 1.0, "recall": 1.0}
        return {
            self.name: 2 * n_right / (n_predicted + n_true),
            "precision": n_right / max(1, n_predicted), "recall": n_right / max(1, n_true),
        }  # fmt: skip


class TagAccuracy:
    """Share of words whose tag is right, over all sentences."""

    name, scores = "Tag-ACC", "tags"

    def score(self, predictions: Sequence[Sequence[str]], examples: Sequence[Any]) -> dict[str, float]:
        """The share.

        Raises:
            ValueError: there are no sentences, or not one tag for each word.
        """
        pairs = [pair for sentence in _paired(predictions, examples) for pair in zip(*sentence, strict=True)]
        return {self.name: sum(predicted == true for predicted, true in pairs) / len(pairs)}


def _paired(predictions: Sequence[Sequence[str]], examples: Sequence[Any]) -> list[tuple[Sequence[str], Sequence[str]]]:
    """Predicted and true tags of each sentence."""
    if len(predictions) != len(examples):
        raise ValueError(f"Found {len(predictions)} predictions for {len(examples)} examples; expected one for each.")
    if not predictions:
        raise ValueError("There is nothing to score: no predictions.")
    for index, (predicted, example) in enumerate(zip(predictions, examples, strict=True)):
        if len(predicted) != len(example.tags):
            raise ValueError(f"Example {index} has {len(example.tags)} words, found {len(predicted)} predicted tags.")
    return [(predicted, example.tags) for predicted, example in zip(predictions, examples, strict=True)]
