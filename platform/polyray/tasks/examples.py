"""The kinds of example that tasks hold."""

import json
from dataclasses import dataclass
from typing import Any, Protocol


class Example(Protocol):
    """One example of a task: frozen and hashable, so that repeats are dropped by comparing examples."""

    @property
    def task(self) -> str:
        """Name of the task."""

    @property
    def line(self) -> str:
        """The whole example as one text, for fingerprints of data."""

    def record(self) -> dict[str, Any]:
        """The example as JSON, to stand beside its prediction."""


@dataclass(frozen=True, kw_only=True)
class TextAnswers:
    """An input text with its accepted answers."""

    task: str
    input: str
    outputs: tuple[str, ...]  # accepted answers, the first is the training target; none where they are to be predicted
    choices: tuple[str, ...] | None = None  # this example's own candidates; None: the task's labels

    @property
    def target(self) -> str:
        """The answer to learn; empty where there is none."""
        return self.outputs[0] if self.outputs else ""

    @property
    def line(self) -> str:
        """Input and outputs, separated by tabs."""
        return "\t".join((self.input, *self.outputs))

    def record(self) -> dict[str, Any]:
        """Input and outputs."""
        return {"input": self.input, "outputs": list(self.outputs)}


@dataclass(frozen=True, kw_only=True)
class RawText:
    """A line of text without labels, or a piece of several lines."""

    task: str
    text: str

    @property
    def line(self) -> str:
        """The text."""
        return self.text

    def record(self) -> dict[str, Any]:
        """The text."""
        return {"text": self.text}


@dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """A text, or two that are read together, with their label; an empty one where it is to be predicted."""

    task: str
    texts: tuple[str, ...]
    label: str

    @property
    def line(self) -> str:
        """Texts and label, separated by tabs."""
        return "\t".join((*self.texts, self.label))

    def record(self) -> dict[str, Any]:
        """Texts and label."""
        return {"texts": list(self.texts), "label": self.label}


@dataclass(frozen=True, kw_only=True)
class TaggedWords:
    """A sentence in words, with one tag for each, or with none where they are to be predicted."""

    task: str
    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def line(self) -> str:
        """The words, a tab, the tags."""
        return f"{' '.join(self.words)}\t{' '.join(self.tags)}"

    def record(self) -> dict[str, Any]:
        """Words and tags."""
        return {"words": list(self.words), "tags": list(self.tags)}


@dataclass(frozen=True, kw_only=True)
class ParsedWords:
    """A sentence in words with its dependency tree, or with none where it is to be predicted.

    heads: the number of each word's head from 1, 0 for the root. relations: to them.
    """

    task: str
    words: tuple[str, ...]
    heads: tuple[int, ...]
    relations: tuple[str, ...]

    @property
    def line(self) -> str:
        """The words, a tab, the arcs as HEAD:RELATION."""
        arcs = [f"{head}:{relation}" for head, relation in zip(self.heads, self.relations, strict=True)]
        return f"{' '.join(self.words)}\t{' '.join(arcs)}"

    def record(self) -> dict[str, Any]:
        """Words, heads and relations."""
        return {"words": list(self.words), "heads": list(self.heads), "relations": list(self.relations)}


@dataclass(frozen=True, kw_only=True)
class ContextQuestion:
    """A question whose answers stand in a text.

    answers: accepted ones, the first is the training target; none where it is to be predicted. starts: the index of
    each one's first letter in the context.
    """

    task: str
    id: str
    question: str
    context: str
    answers: tuple[str, ...]
    starts: tuple[int, ...]

    @property
    def line(self) -> str:
        """All of it as JSON, as texts may have several lines."""
        return json.dumps(self.record(), ensure_ascii=True)

    def record(self) -> dict[str, Any]:
        """Question, context and answers."""
        return {
            "id": self.id, "question": self.question, "context": self.context,
            "answers": {"text": list(self.answers), "answer_start": list(self.starts)},
        }  # fmt: skip
