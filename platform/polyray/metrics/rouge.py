"""Rouge-L: overlap of prediction and answer in words that stand in the same order."""

import string
from collections.abc import Sequence

from polyray.metrics.pairs import mean_of_best

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def rouge_l(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Mean summary-level Rouge-L F for the best accepted answer; a prediction without letters or digits scores 0.

    With U the distinct words in any longest common subsequence of a sentence of the answer and one of the prediction,
    F = 2 |U| / (distinct words of the answer + distinct words of the prediction). Sentences end at full stops, case
    counts. Lin 2004 (aclanthology.org/W04-1013), section 3.2, as in version 1.0.1 of github.com/pltrdy/rouge, without
    its 1e-8 in the denominator. Version 1.0.0, which CrossFit names, counts a word once for every pair of sentences
    that shares it, so that a perfect prediction of two sentences can score more than 1.
    """
    return mean_of_best(_rouge_l, predictions, answers)


def _rouge_l(prediction: str, answer: str) -> float:
    predicted, reference = _sentences(prediction), _sentences(answer)
    if not prediction.translate(_NO_PUNCTUATION) or not predicted or not reference:
        return 0.0
    shared = {word for left in reference for right in predicted for word in _common_words(left, right)}
    distinct = [{word for sentence in sentences for word in sentence} for sentences in (reference, predicted)]
    return 2 * len(shared) / sum(len(words) for words in distinct)


def _sentences(text: str) -> list[list[str]]:
    return [" ".join(sentence.split()).split(" ") for sentence in text.split(".") if sentence]


def _common_words(left: Sequence[str], right: Sequence[str]) -> set[str]:
    """Words of one longest common subsequence; of equally long ones the one that drops words of `right` first."""
    lengths = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, word in enumerate(left, start=1):
        above, row = lengths[i - 1], lengths[i]
        for j, other in enumerate(right, start=1):
            row[j] = above[j - 1] + 1 if word == other else max(above[j], row[j - 1])
    words: set[str] = set()
    i, j = len(left), len(right)
    while i and j:
        if left[i - 1] == right[j - 1]:
            words.add(left[i - 1])
            i, j = i - 1, j - 1
        elif lengths[i - 1][j] > lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return words
