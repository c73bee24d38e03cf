"""Objectives that give every candidate answer of an example a score."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from polyray.objectives.answers import Answers
from polyray.objectives.choices import Choices
from polyray.objectives.objective import Network


class Ranking(Protocol):
    """An objective whose rows have candidates, among which their scores choose."""

    def candidate_scores(self, network: Network, rows: Sequence[Any], size: int) -> list[list[float]]:
        """For each row the scores of its candidates (`row.candidates`); the softmax over them is their probability.

        Args:
            size: rows, or candidates, at once.

        Raises:
            InputError: a row has no candidates.
        """


RANKINGS: Mapping[str, Ranking] = {"answers": Answers(), "choices": Choices()}
