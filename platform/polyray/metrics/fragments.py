"""Extractive fragments: the pieces of a response that stand word for word in its knowledge.

Grusky et al. 2018 (arXiv:1804.11283), section 4.1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from polyray.metrics.suffix_automaton import matching_statistics

_WORD = re.compile(r"\w+")


def words(text: str, *, case: bool = True) -> list[str]:
    r"""The runs of letters, digits and underscores in `text` (`\w+`).

    Args:
        case: whether upper and lower case differ.
    """
    return _WORD.findall(text if case else text.lower())


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Copies in a response of its knowledge.

    fragments: lengths in words of its extractive fragments, in their order. n_words: of the response.
    """

    fragments: tuple[int, ...]
    n_words: int

    @property
    def coverage(self) -> float:
        """Share of the response's words that stand in a fragment; 0 where there are no words."""
        return sum(self.fragments) / max(1, self.n_words)

    @property
    def density(self) -> float:
        """Mean over the response's words of the length of their fragment: the sum of squared lengths a word."""
        return sum(length**2 for length in self.fragments) / max(1, self.n_words)

    @property
    def longest(self) -> float:
        """Length of the longest fragment as a share of the response's words."""
        return max(self.fragments, default=0) / max(1, self.n_words)


def extraction(response: str, knowledge: str, *, case: bool = True) -> Extraction:
    """The fragments of `response` that stand in `knowledge`, found from left to right, each as long as possible.

    Args:
        case: whether upper and lower case differ, as they do in the code of Daheim et al. 2024; in that of Grusky et
            al. they do not.
    """
    written = words(response, case=case)
    matches = matching_statistics(written, words(knowledge, case=case))
    return Extraction(fragments=tuple(_greedy(matches)), n_words=len(written))


def _greedy(matches: Sequence[int]) -> list[int]:
    """Lengths of the fragments, of the longest match that begins at each word."""
    lengths, position = [], 0
    while position < len(matches):
        if matches[position]:
            lengths.append(matches[position])
        position += max(1, matches[position])
    return lengths
