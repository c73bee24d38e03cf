"""Q2 of responses, from any functions that ask, answer and compare."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from polyray.judges.q2.grammar import Grammar
from polyray.judges.q2.networks import Label

Pairs = Sequence[tuple[str, str]]
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LITTLE_WORDS = re.compile(r"\b(a|an|the|in|our)\b")
_OF_LABEL: dict[Label, float] = {"entailment": 1.0, "neutral": 0.5, "contradiction": 0.0}


@dataclass(frozen=True, kw_only=True)
class Judges:
    """The functions that Q2 is made of.

    Attributes:
        ask: from pairs of span and text to questions, likeliest first.
        answer: from pairs of question and text to answers, None for no answer.
        compare: from pairs of premise and hypothesis to labels.
    """

    grammar: Grammar
    ask: Callable[[Pairs], list[list[str]]]
    answer: Callable[[Pairs], list[str | None]]
    compare: Callable[[Pairs], list[Label]]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A valid question about a response: its span, and the number of the response."""

    response: int
    span: str
    question: str


@dataclass(frozen=True, kw_only=True)
class Q2Score:
    """Q2 of one response and one text of knowledge.

    q2: with answers compared by entailment. overlap: with answers compared by their words. n_questions: valid ones; 0
    where the whole response was compared with the knowledge.
    """

    q2: float
    overlap: float
    n_questions: int


def q2_scores(
    responses: Sequence[str], knowledge: Sequence[str], judges: Judges, *, keep_personal: bool
) -> list[Q2Score]:
    """Q2 of each response against its knowledge.

    A question counts if, read in the response, it is answered by the span that it was asked for. Its score compares
    that span with its answer in the knowledge: 1 if they are the same words or the answer entails the span, 0 if it
    contradicts it or there is no answer, else the F1 of their words. A response has the mean over its questions;
    without one it is compared with the knowledge as a whole: 1, 1/2 or 0 if it is entailed, neutral or contradicted.
    """
    asked = valid_questions(responses, judges, keep_personal=keep_personal)
    answers = judges.answer([(one.question, knowledge[one.response]) for one in asked])
    overlaps = [word_f1(one.span, answer or "") for one, answer in zip(asked, answers, strict=True)]
    compared = [number for number, answer in enumerate(answers) if answer and overlaps[number] < 1]
    labels = judges.compare(
        [(f"{asked[i].question} {answers[i]}.", f"{asked[i].question} {asked[i].span}.") for i in compared]
    )
    by_label = {i: _OF_LABEL[label] for i, label in zip(compared, labels, strict=True) if label != "neutral"}
    whole = sorted(set(range(len(responses))) - {one.response for one in asked})
    fallback = judges.compare([(knowledge[i].lower(), responses[i].lower()) for i in whole])
    scores = {
        i: Q2Score(q2=_OF_LABEL[label], overlap=_OF_LABEL[label], n_questions=0)
        for i, label in zip(whole, fallback, strict=True)
    }
    numbers: dict[int, list[int]] = {}
    for number, one in enumerate(asked):
        numbers.setdefault(one.response, []).append(number)
    for response, indices in numbers.items():
        n = len(indices)
        scores[response] = Q2Score(
            q2=sum(by_label.get(i, overlaps[i]) for i in indices) / n,
            overlap=sum(overlaps[i] for i in indices) / n, n_questions=n,
        )  # fmt: skip
    return [scores[i] for i in range(len(responses))]


def valid_questions(responses: Sequence[str], judges: Judges, *, keep_personal: bool) -> list[Asked]:
    """For each span of each response the first question that the span answers, if there is one."""
    spans = [(i, span) for i, response in enumerate(responses) for span in judges.grammar.spans(response)]
    written = judges.ask([(span, responses[i]) for i, span in spans])
    candidates = [
        (number, question)
        for number, questions in enumerate(written)
        for question in questions
        if keep_personal or not judges.grammar.is_personal(question)
    ]
    answers = judges.answer([(question, responses[spans[number][0]]) for number, question in candidates])
    first: dict[int, Asked] = {}
    for (number, question), answer in zip(candidates, answers, strict=True):
        response, span = spans[number]
        if answer is not None and number not in first and clean(answer) == clean(span):
            first[number] = Asked(response=response, span=span, question=question)
    return list(first.values())


def clean(text: str) -> str:
    """`text` in lower case without punctuation, the words a, an, the, in and our, and spare spaces."""
    return " ".join(_LITTLE_WORDS.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def word_f1(span: str, answer: str) -> float:
    """F1 of the words of two clean texts."""
    left, right = Counter(clean(span).split()), Counter(clean(answer).split())
    shared = (left & right).total()
    return 2 * shared / (left.total() + right.total()) if shared else 0.0
