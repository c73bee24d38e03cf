"""Objectives: how tasks are put to a network.

A task names its objective (`Task.objective`); `objective_for` finds the one that fits the backbone.
"""

from collections.abc import Sequence

import torch
from torch import nn

from polyray.backbones import Backbone
from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.metrics import METRICS
from polyray.objectives.answers import Answers
from polyray.objectives.choices import Choices
from polyray.objectives.classification import Classification
from polyray.objectives.dialogue import CHATS, RESPONSES
from polyray.objectives.masked_lm import MaskedLM
from polyray.objectives.objective import Batch, Network, Objective, Row
from polyray.objectives.options import EvaluationOptions, TextOptions, ValidationOptions
from polyray.objectives.parsing import Parsing
from polyray.objectives.spans import Spans
from polyray.objectives.tagging import Tagging
from polyray.tasks import Task

OBJECTIVES: dict[str, Objective] = {
    "answers": Answers(),
    "choices": Choices(),
    "tagging": Tagging(),
    "classification": Classification(),
    "parsing": Parsing(),
    "spans": Spans(),
    "masked_lm": MaskedLM(),
    "dialogue": RESPONSES,
    "chat": CHATS,
}


def objective_for(backbone: Backbone, tasks: Sequence[Task]) -> Objective:
    """The one objective by which `backbone` learns all of `tasks`.

    Raises:
        InputError: they have different ones, the backbone fits none, or a metric scores other predictions.
    """
    one_objective(tasks)
    objective = lookup(OBJECTIVES, tasks[0].objective, "objective")
    if objective.otherwise and not objective.fits(backbone):
        objective = OBJECTIVES[objective.otherwise]
    if not objective.fits(backbone):
        fitting = ", ".join(name for name, entry in OBJECTIVES.items() if entry.fits(backbone))
        raise InputError(
            f"Task {tasks[0].name!r} has the objective {objective.name!r}, which needs {objective.needs}; the backbone "
            f"{backbone.name} is of the kind {backbone.kind!r}. Choose another one, or tasks with one of: {fitting}."
        )
    for task in tasks:
        if METRICS[task.metric].scores != objective.predicts:
            able = ", ".join(name for name, metric in METRICS.items() if metric.scores == objective.predicts)
            raise InputError(
                f"Task {task.name!r} is scored by {task.metric}, which scores {METRICS[task.metric].scores}; the "
                f"objective {objective.name!r} predicts {objective.predicts}. Choose one of: {able}."
            )
    return objective


def one_objective(tasks: Sequence[Task]) -> None:
    """Refuse tasks that name different objectives: a batch is put to the network in one way.

    Raises:
        InputError: there are two such tasks.
    """
    other = next((task for task in tasks if task.objective != tasks[0].objective), None)
    if other is not None:
        raise InputError(
            f"Tasks of one run share an objective: {tasks[0].name!r} has {tasks[0].objective!r}, {other.name!r} has "
            f"{other.objective!r}. Choose tasks of one kind with tasks.include or tasks.partition."
        )


def heads_for(backbone: Backbone, tasks: Sequence[Task], generator: torch.Generator) -> dict[str, nn.Module]:
    """Fresh heads for `tasks` by key, one for all tasks that share a key.

    Raises:
        InputError: the tasks have no objective that fits the backbone.
    """
    objective = objective_for(backbone, tasks)
    keys = dict.fromkeys(objective.head_key(task) for task in tasks)
    return {key: head for key in keys if (head := objective.head(backbone, key, generator)) is not None}


def head_of(backbone: Backbone, key: str) -> nn.Module:
    """The head whose tensors were saved under `key`; its values are yet to be loaded.

    Raises:
        InputError: `key` names no objective that has heads.
    """
    objective = lookup(OBJECTIVES, key.partition(":")[0], "objective (of a head)")
    head = objective.head(backbone, key, torch.Generator().manual_seed(0))
    if head is None:
        raise InputError(f"The objective {objective.name!r} has no head called {key!r}.")
    return head


__all__ = [
    "OBJECTIVES",
    "Batch",
    "EvaluationOptions",
    "Network",
    "Objective",
    "Row",
    "TextOptions",
    "ValidationOptions",
    "head_of",
    "heads_for",
    "objective_for",
    "one_objective",
]
