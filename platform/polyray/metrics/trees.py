"""Scores of dependency trees: attachment of words with and without relations."""

from collections.abc import Sequence
from typing import Any

Arc = tuple[int, str]  # head, 0 for the root, and relation


class Attachment:
    """Share of words whose head, or head and relation, is right, as the shared tasks of 2017 and 2018 count it.

    Over all words, punctuation too; of a relation the part before the colon counts. Zeman et al. 2018
    (aclanthology.org/K18-2001), section 5: with the words given, their F1 is this share. `uas_noroot` and `las_noroot`
    leave out the words whose true head is the root, as composable-sft and scripts of adapter-hub do.
    """

    scores = "trees"

    def __init__(self, name: str, about: str) -> None:
        self.name, self.about = name, about

    def score(self, predictions: Sequence[Sequence[Arc]], examples: Sequence[Any]) -> dict[str, float]:
        """The metric itself, then the others; the two without roots are 1 where all words are roots.

        Raises:
            ValueError: there are no sentences, or not one head and relation for each word.
        """
        words = [word for pair in _paired(predictions, examples) for word in zip(*pair, strict=True)]
        inner = [(predicted, true) for predicted, true in words if true[0] != 0]
        shares = {
            "las": _share(words, labelled=True), "uas": _share(words, labelled=False),
            "las_noroot": _share(inner, labelled=True), "uas_noroot": _share(inner, labelled=False),
        }  # fmt: skip
        return {self.name: shares.pop(self.name), **shares}


def _share(words: Sequence[tuple[Arc, Arc]], *, labelled: bool) -> float:
    """Share of (predicted, true) words with the right head, and relation if `labelled`."""
    if not words:
        return 1.0
    hits = [
        predicted[0] == true[0] and (not labelled or universal(predicted[1]) == universal(true[1]))
        for predicted, true in words
    ]
    return sum(hits) / len(hits)


def universal(relation: str) -> str:
    """The relation without its subtype: nmod of nmod:poss."""
    return relation.partition(":")[0]


def _paired(predictions: Sequence[Sequence[Arc]], examples: Sequence[Any]) -> list[tuple[Sequence[Arc], list[Arc]]]:
    """Predicted and true arcs of each sentence."""
    if len(predictions) != len(examples):
        raise ValueError(f"Found {len(predictions)} predictions for {len(examples)} examples; expected one for each.")
    if not predictions:
        raise ValueError("There is nothing to score: no predictions.")
    pairs = []
    for index, (predicted, example) in enumerate(zip(predictions, examples, strict=True)):
        true = list(zip(example.heads, example.relations, strict=True))
        if len(predicted) != len(true):
            raise ValueError(f"Example {index} has {len(true)} words, found {len(predicted)} predicted heads.")
        pairs.append((predicted, true))
    return pairs
