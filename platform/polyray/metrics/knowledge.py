"""Knowledge F1: words that a response and its knowledge share, those without content left out."""

import re
from collections import Counter
from functools import cache

# An English clitic, a word before n't, a number with its points, or a word: the pieces that spaCy's tokenizer makes.
TOKEN = re.compile(r"n't\b|'(?:s|d|ll|m|re|ve)\b|\d+(?:[.,:]\d+)+|\w+(?=n't\b)|\w+", re.IGNORECASE)
_CLITICS = frozenset(["n't", "'s", "'d", "'ll", "'m", "'re", "'ve", "ca", "wo", "sha"])


@cache
def stop_words() -> frozenset[str]:
    """Clitics and the 318 English stop words of Glasgow's Information Retrieval Group, as scikit-learn has them.

    From ir.dcs.gla.ac.uk/resources/linguistic_utils/stop_words by way of `sklearn.feature_extraction.text`.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # costs a second, and knowledge F1 alone needs it

    return frozenset(ENGLISH_STOP_WORDS) | _CLITICS


def content_words(text: str) -> list[str]:
    """The words of `text` in lower case, without punctuation and `stop_words`."""
    tokens = TOKEN.findall(straight(text).lower())
    return [token for token in tokens if token not in stop_words()]


def straight(text: str) -> str:
    """`text` with straight apostrophes, as long as before."""
    return text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def knowledge_f1(response: str, knowledge: str) -> float:
    """F1 of content words between `response` and `knowledge`, each counted as often as it stands in both.

    0 where they share none. Daheim et al. 2024 (arXiv:2303.17574), section 4, as in their code, but with words and stop
    words of a fixed list in place of a spaCy model's.
    """
    written, knowledge_words = Counter(content_words(response)), Counter(content_words(knowledge))
    shared = (written & knowledge_words).total()
    return 2 * shared / (written.total() + knowledge_words.total()) if shared else 0.0
