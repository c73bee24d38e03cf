"""Lines and rows of task files, and the checks that turn a row into an example."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from polyray.config import Section
from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.metrics.correlation import number
from polyray.tasks.examples import TextAnswers


class Card(Section):
    """Properties of a task that a data folder gives beside its examples."""

    category: str = ""
    """Kind of task, for `include`."""
    metric: str = ""
    """Metric of the task; empty: the suite's own choice."""
    labels: tuple[str, ...] | None = None
    """Closed set of answers."""
    multiple_answers: bool = False
    """Whether a line may hold several accepted answers."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One unchecked example and the place it was read from."""

    where: str
    input: str
    outputs: tuple[str, ...]
    choices: tuple[str, ...] | None = None


def data_folder(path: str, suite: str) -> Path:
    """The folder `path`.

    Raises:
        InputError: no folder is given or there is none.
    """
    if not path:
        raise InputError(f"The suite {suite!r} reads files: set tasks.path to the folder that holds them.")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise InputError(f"tasks.path = {path!r} is not a folder.")
    return folder


def read_lines(file: Path) -> list[str]:
    """The lines of a UTF-8 text without their ends; Windows line ends and a byte order mark are dropped too.

    Raises:
        InputError: the file cannot be read, is empty, or is not UTF-8; the message names the line.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {file}: {error.strerror}.") from None
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{file}:{line}: the byte 0x{content[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        ) from None
    if not text.strip():
        raise InputError(f"{file} is empty; expected one example a line.")
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in `file`.

    Raises:
        InputError: the file cannot be read or holds no JSON object; the message names the line.
    """
    return parsed_object("\n".join(read_lines(file)), file, first_line=1)


def parsed_object(text: str, file: Path, first_line: int) -> dict[str, Any]:
    """The JSON object spelled by `text`, which begins at `first_line` of `file`.

    Raises:
        InputError: it is not valid JSON or not an object.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{file}:{first_line + error.lineno - 1}: not valid JSON: {error.msg} at column {error.colno}."
        ) from None
    except RecursionError:
        raise InputError(f"{file}:{first_line}: the JSON is nested too deeply.") from None
    if not isinstance(value, dict):
        raise InputError(f"{file}:{first_line}: expected a JSON object, found {type(value).__name__}.")
    return value


def parsed_card(values: Mapping[str, Any], where: str) -> Card:
    """`values` as a Card.

    Raises:
        InputError: a field is unknown or has a wrong type, or `labels` is empty or repeats itself.
    """
    try:
        card = Card.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"]))
        raise InputError(
            f"{where}: {name}: {problem['msg']}. Fields of a task: {', '.join(Card.model_fields)}."
        ) from None
    if card.labels is not None and len(set(card.labels)) < max(1, len(card.labels)):
        raise InputError(f"{where}: labels must be a list of different texts, found {list(card.labels)!r}.")
    return card


def checked_example(row: Row, task: str, card: Card, *, prompt_name: bool) -> TextAnswers:
    """`row` as an example of `task`, its input beginning with "[TASK] " if `prompt_name`.

    Raises:
        InputError: a text is blank, an output is no label, no choice, or no number where the metric needs numbers.
    """
    if not row.input.strip():
        raise InputError(f"{row.where}: the input is empty.")
    for output in row.outputs:
        if not output.strip():
            raise InputError(f"{row.where}: an output is empty; expected a text.")
        if card.labels is not None and output not in card.labels:
            raise InputError(f"{row.where}: {output!r} is not a label of {task!r}. {suggestion(output, card.labels)}")
    if row.choices is not None and row.outputs[0] not in row.choices:
        raise InputError(f"{row.where}: the output {row.outputs[0]!r} is not among the choices {list(row.choices)!r}.")
    if card.metric == "Pearson-Correlation" and number(row.outputs[0]) is None:
        raise InputError(f"{row.where}: {card.metric} needs a number as output, found {row.outputs[0]!r}.")
    prompt = beginning(task, prompt_name) + row.input
    return TextAnswers(task=task, input=prompt, outputs=row.outputs, choices=row.choices)


def beginning(task: str, prompt_name: bool) -> str:
    """What stands before each input of `task`: "[TASK] ", or nothing."""
    return f"[{task}] " if prompt_name else ""


def prompt_of(task: str, prompt_name: bool, template: str = "{input}") -> str:
    """The format string that `checked_example` fills: `beginning`, its braces doubled, and the suite's `template`."""
    return beginning(task, prompt_name).replace("{", "{{").replace("}", "}}") + template
