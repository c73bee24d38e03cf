"""Scores that match one answer at a time: exact match, accuracy, token F1."""

import re
import string
from collections import Counter
from collections.abc import Sequence

from polyray.metrics.pairs import mean_of_best

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """`text` in lower case without ASCII punctuation, English articles and spare spaces.

    Rajpurkar et al. 2016 (arXiv:1606.05250), section 6.1.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Share of predictions that equal an accepted answer once both are normalised."""
    return mean_of_best(
        lambda prediction, answer: float(normalised(prediction) == normalised(answer)), predictions, answers
    )


def accuracy(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Share of predictions that equal an accepted answer, upper and lower case alike."""
    return mean_of_best(lambda prediction, answer: float(prediction.lower() == answer.lower()), predictions, answers)


def qa_f1(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Mean over examples of the F1 of normalised words between prediction and best accepted answer.

    An answer of articles and punctuation only has no words left and scores 0, as in the SQuAD 1.1 script.
    Rajpurkar et al. 2016 (arXiv:1606.05250), section 6.1.
    """
    return mean_of_best(_word_f1, predictions, answers)


def _word_f1(prediction: str, answer: str) -> float:
    words, answer_words = normalised(prediction).split(), normalised(answer).split()
    shared = (Counter(words) & Counter(answer_words)).total()
    return 2 * shared / (len(words) + len(answer_words)) if shared else 0.0
