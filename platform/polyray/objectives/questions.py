"""Questions: inputs whose answers are to be predicted, and their way into a task's prompt."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from polyray.errors import InputError
from polyray.tasks import Task, TextAnswers
from polyray.tasks.choices import inline_choices

FORMATTER = Formatter()
RISKY = re.compile(r"[{}]|\d{4}")  # in the format of a field: a folder of skills must not ask for a gigabyte of blanks
INPUT, CHOICES = "input", "choices"


@dataclass(frozen=True, kw_only=True)
class Question:
    """An input without an answer: its fields, such as `input`, and where it stands, for messages."""

    fields: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, text: str, where: str) -> "Question":
        """The question whose only field is the text `input`."""
        return cls(fields={INPUT: text}, where=where)

    def text(self, name: str) -> str:
        """The text in the field `name`.

        Raises:
            InputError: there is none, it is blank, or it holds half a character.
        """
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise InputError(f"{self.where}: expected the field {name!r} with a text, found {value!r:.80}.")
        if not value.strip():
            raise InputError(f"{self.where}: the {name} is empty.")
        return unicode(value, self.where)

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts in the field `name`, a list; none where it is absent.

        Raises:
            InputError: it holds something else.
        """
        values = self.fields.get(name)
        if values is None:
            return ()
        if not isinstance(values, list) or not values or not all(isinstance(x, str) and x.strip() for x in values):
            raise InputError(f"{self.where}: expected the field {name!r} with a list of texts, found {values!r:.80}.")
        return tuple(unicode(value, self.where) for value in values)


def unicode(text: str, where: str) -> str:
    """`text` itself.

    Raises:
        InputError: it holds a lone half of a character (a surrogate), which no tokenizer reads.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: the text is no valid Unicode at letter {error.start + 1}.") from None
    return text


def unanswered(task: Task, question: Question) -> TextAnswers:
    """The question as an example without outputs: its fields in the prompt of `task`, as in training.

    Raises:
        InputError: the prompt asks for a field that the question lacks, or its choices are no texts.
    """
    choices = question.texts(CHOICES) or (inline_choices(question.text(INPUT)) if task.inline_choices else None)
    return TextAnswers(task=task.name, input=prompt(task, question), outputs=(), choices=choices)


def prompt(task: Task, question: Question) -> str:
    """The text that the network reads: the fields of the question in the prompt of `task`.

    A text alone stands for the one field of a prompt that has one.

    Raises:
        InputError: the question lacks a field of the prompt, or it does not fit there.
    """
    names = prompt_fields(task)
    fields = _fields(task, names, question)
    if names == [INPUT]:
        question.text(INPUT)
    try:
        return unicode(FORMATTER.vformat(task.prompt, (), fields), question.where)
    except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"{question.where}: the fields do not fit the prompt {task.prompt!r}: {type(error).__name__}: {error}."
        ) from None


def texts_of(task: Task, question: Question) -> tuple[str, ...]:
    """The texts in the fields that the prompt of `task` names, in their order, as in `prompt`.

    Raises:
        InputError: the question lacks a field, or it holds no text.
    """
    names = prompt_fields(task)
    whole = Question(fields=_fields(task, names, question), where=question.where)
    return tuple(whole.text(name) for name in names)


def words_of(question: Question) -> tuple[str, ...]:
    """The words of a sentence: the field `words`, or `input` split at its blanks.

    Raises:
        InputError: the question has neither, or it is empty.
    """
    return question.texts("words") or tuple(question.text(INPUT).split())


def _fields(task: Task, names: list[str], question: Question) -> dict[str, Any]:
    """The fields of the question, in which a text alone stands for the one field of a prompt that has one.

    Raises:
        InputError: one of `names`, which the prompt reads, is missing.
    """
    fields = dict(question.fields)
    if set(fields) == {INPUT} and len(names) == 1:
        fields = dict.fromkeys(names, question.text(INPUT))
    missing = [name for name in names if name not in fields]
    if missing:
        raise InputError(
            f"{question.where}: the task {task.name!r} reads the fields {', '.join(names)}; {missing[0]!r} is missing. "
            "Give them in a file of JSON lines (inputs=FILE.jsonl)."
        )
    return fields


def prompt_fields(task: Task) -> list[str]:
    """The names of the fields that the prompt of `task` reads.

    Raises:
        InputError: the prompt cannot be read, or names none.
    """
    try:
        parts = [(field, spec or "") for _, field, spec, _ in FORMATTER.parse(task.prompt) if field is not None]
    except ValueError as error:
        raise InputError(f"Cannot read the prompt {task.prompt!r} of the task {task.name!r}: {error}.") from None
    names = list(dict.fromkeys(re.split(r"[.\[]", field)[0] for field, _ in parts))
    if not names or "" in names or any(RISKY.search(spec) for _, spec in parts):
        raise InputError(
            f"The prompt {task.prompt!r} of the task {task.name!r} names no plain field such as {{input}}."
        )
    return names
