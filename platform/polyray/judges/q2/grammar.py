"""Spans of a response that questions are asked about, and questions about the speakers themselves."""

import re
from typing import Any, Protocol

from polyray.errors import InputError
from polyray.metrics.knowledge import TOKEN, stop_words, straight

_PERSONAL = frozenset(["i", "you", "my", "your"])


class Grammar(Protocol):
    """Knowledge of English that Q2 needs."""

    @property
    def record(self) -> dict[str, Any]:
        """It as it stands beside scores."""

    def spans(self, text: str) -> list[str]:
        """Candidates for answers: pieces of `text`."""

    def is_personal(self, question: str) -> bool:
        """Whether a question is about one of the speakers."""


class PhraseRules:
    """Content words that stand together, without a model: a deviation from Q2, which asks about spaCy's phrases.

    A span is a longest run of words that are neither stop words nor punctuation, as Rose et al. 2010
    (doi:10.1002/9780470689646.ch1, section 1.2.1) find keywords, so verbs are among them. A question with I, you, my or
    your is personal.
    """

    @property
    def record(self) -> dict[str, Any]:
        """Its name."""
        return {"name": "phrase rules"}

    def spans(self, text: str) -> list[str]:
        """The runs, each once, upper and lower case alike."""
        runs, end = list[list[re.Match[str]]]([[]]), 0
        for token in TOKEN.finditer(straight(text)):
            if text[end : token.start()].strip() or token[0].lower() in stop_words():
                runs.append([])
            if token[0].lower() not in stop_words():
                runs[-1].append(token)
            end = token.end()
        return distinct([text[run[0].start() : run[-1].end()] for run in runs if run])

    def is_personal(self, question: str) -> bool:
        """Whether one of the words is I, you, my or your."""
        return not _PERSONAL.isdisjoint(re.findall(r"\w+", question.lower()))


class SpacyGrammar:
    """Named entities and noun chunks of a spaCy pipeline, as in the released Q2."""

    def __init__(self, folder: str) -> None:
        """Load the pipeline of a folder.

        Raises:
            InputError: spaCy is not installed, or the folder holds no pipeline.
        """
        try:
            import spacy  # noqa: PLC0415  (not among Polyray's requirements)
        except ModuleNotFoundError:
            raise InputError(f"q2.spacy={folder} needs spaCy, which is not installed: pip install spacy.") from None
        try:
            self._pipeline = spacy.load(folder)
        except (OSError, ValueError) as error:
            raise InputError(f"q2.spacy={folder}: no pipeline can be loaded: {str(error).splitlines()[0]}") from None
        missing = {"parser", "ner"} - set(self._pipeline.pipe_names)
        if missing:
            raise InputError(f"q2.spacy={folder} lacks {' and '.join(sorted(missing))}, by which Q2 finds spans.")

    @property
    def record(self) -> dict[str, Any]:
        """Name and version of the pipeline."""
        return {name: self._pipeline.meta[name] for name in ("lang", "name", "version")}

    def spans(self, text: str) -> list[str]:
        """Entities, then noun chunks that are no entity; I is none of them."""
        document = self._pipeline(text)
        entities = [entity.text for entity in document.ents]
        chunks = [chunk.text for chunk in document.noun_chunks]
        return [span for span in distinct(entities + chunks) if span.lower() != "i"]

    def is_personal(self, question: str) -> bool:
        """Whether I or you is a subject, or my or your a possessive."""
        subjects, possessives = (
            {token.text.lower() for token in self._pipeline(question) if token.dep_ == role}
            for role in ("nsubj", "poss")
        )
        return bool(subjects & {"i", "you"} or possessives & {"my", "your"})


def distinct(spans: list[str]) -> list[str]:
    """The first of each of the spans that differ in case alone."""
    first = dict[str, str]()
    for span in spans:
        first.setdefault(span.lower(), span)
    return list(first.values())
