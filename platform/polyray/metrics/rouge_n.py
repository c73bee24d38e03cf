"""ROUGE-N and ROUGE-L of single texts, as Google's package rouge-score counts them."""

import re
from collections import Counter
from collections.abc import Sequence

# The package itself is not asked: importing it takes two seconds, as it brings nltk along for a stemmer.
_WORD = re.compile(r"[a-z0-9]+")


def rouge_n(prediction: str, reference: str, *, order: int) -> float:
    """F of shared n-grams of `order` words, in lower case without a stemmer; words are runs of a to z and 0 to 9.

    Lin 2004 (aclanthology.org/W04-1013), section 2.
    """
    written, true = (_n_grams(text, order) for text in (prediction, reference))
    shared = (written & true).total()
    return 2 * shared / (written.total() + true.total()) if shared else 0.0


def rouge_l(prediction: str, reference: str) -> float:
    """F of the longest common subsequence of the words of both texts. Lin 2004, section 3.1."""
    written, true = (_WORD.findall(text.lower()) for text in (prediction, reference))
    shared = _common_length(written, true)
    return 2 * shared / (len(written) + len(true)) if shared else 0.0


def _n_grams(text: str, order: int) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))


def _common_length(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(right) + 1)
    for word in left:
        above = row
        row = [0]
        for column, other in enumerate(right, start=1):
            row.append(above[column - 1] + 1 if word == other else max(above[column], row[column - 1]))
    return row[-1]
