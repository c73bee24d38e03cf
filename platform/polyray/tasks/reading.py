"""Rows of task files, and the checks that turn a row into an example."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from polyray.config import Section, first_problem
from polyray.errors import InputError
from polyray.formats import is_folder, user_path
from polyray.lookup import nearest, suggestion
from polyray.metrics import METRICS
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
    folder = user_path(path)
    if not is_folder(folder):
        raise InputError(f"tasks.path = {path!r:.200} is not a folder.")
    return folder


def parsed_card(values: Mapping[str, Any], where: str) -> Card:
    """`values` as a Card.

    Raises:
        InputError: a field is unknown or has a wrong type, no metric has that name, or `labels` is empty or repeats
            itself.
    """
    try:
        card = Card.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            near = nearest(name, Card.model_fields)
            hint = f"Did you mean {near!r}? " if near else ""
            raise InputError(
                f"{where}: {name:.80}: no such field. {hint}Fields of a task: {', '.join(Card.model_fields)}."
            ) from None
        raise InputError(f"{where}: {first_problem(error)}.") from None
    if card.metric and card.metric not in METRICS:
        raise InputError(f"{where}: No metric is called {card.metric!r:.80}. {suggestion(card.metric, METRICS)}")
    if card.labels is not None and len(set(card.labels)) < max(1, len(card.labels)):
        raise InputError(f"{where}: labels must be a list of different texts, found {list(card.labels)!r:.200}.")
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
            raise InputError(
                f"{row.where}: {output!r:.80} is not a label of {task!r}. {suggestion(output, card.labels)}"
            )
    if row.choices is not None and row.outputs[0] not in row.choices:
        raise InputError(
            f"{row.where}: the output {row.outputs[0]!r:.80} is not among the choices {list(row.choices)!r:.200}."
        )
    if card.metric == "Pearson-Correlation" and number(row.outputs[0]) is None:
        raise InputError(f"{row.where}: {card.metric} needs a number as output, found {row.outputs[0]!r:.80}.")
    prompt = beginning(task, prompt_name) + row.input
    return TextAnswers(task=task, input=prompt, outputs=row.outputs, choices=row.choices)


def beginning(task: str, prompt_name: bool) -> str:
    """Words before each input of `task`: "[TASK] ", or nothing."""
    return f"[{task}] " if prompt_name else ""


def prompt_of(task: str, prompt_name: bool, template: str = "{input}") -> str:
    """The format string that `checked_example` fills: `beginning`, its braces doubled, and the suite's `template`."""
    return beginning(task, prompt_name).replace("{", "{{").replace("}", "}}") + template
