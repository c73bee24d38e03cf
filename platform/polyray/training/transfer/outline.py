"""The trainings of a transfer in groups whose updates cost the same, and what it scores, for a forecast."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from polyray.tasks import Suite
from polyray.training.data import first_examples
from polyray.training.transfer.plan import PlannedTraining, levels
from polyray.training.transfer.recipe import TransferRecipe
from polyray.training.transfer.studies import STUDIES
from polyray.training.tuning.recipe import TuningRecipe

SAME = ("tasks.include", "name", "training.seed")
"""Fields that tell trainings apart which cost the same but for their numbers of examples."""
Group = tuple[str, list[PlannedTraining]]


def groups(trainings: Mapping[str, PlannedTraining]) -> list[Group]:
    """Trainings by what they have in common, each group with a name."""
    alike: dict[str, list[PlannedTraining]] = {}
    for training in trainings.values():
        fields = {name: value for name, value in training.fields.items() if name not in SAME}
        key = repr((sorted(fields.items()), bool(training.ranking), bool(training.base)))
        alike.setdefault(key, []).append(training)
    return [(_about(members[0]), members) for members in alike.values()]


def _about(training: PlannedTraining) -> str:
    kind = "language" if training.fields["suite"] == "text" else "task"
    return f"{kind}, {training.fields['method.kind']}{' above a language' if training.base else ''}"


def measured_recipe(training: PlannedTraining) -> TuningRecipe:
    """The recipe of a training as it can be measured before those that it needs are done.

    Skills beneath change nothing of what it costs; a first phase that another training stands for has one update.
    """
    more = {"method.full_steps": 1} if training.ranking else {}
    return replace(training, fields={**training.fields, **more}).recipe({})


def level_of(trainings: Mapping[str, PlannedTraining]) -> dict[str, int]:
    """The level of each training by its name: those of one level are done side by side."""
    return {training.name: number for number, level in enumerate(levels(trainings)) for training in level}


def scoring(recipe: TransferRecipe, suite: Suite, trainings: Mapping[str, PlannedTraining]) -> tuple[int, int]:
    """Pieces of scoring after the trainings, and the test examples that they score together."""
    nowhere = dict.fromkeys(trainings, Path())
    limit = recipe.evaluation.max_examples
    tasks: Sequence[Sequence[str]] = [x.tasks for x in STUDIES[recipe.study].cells(recipe, suite, Path(), nowhere)]
    sizes = {name: len(first_examples(suite.tasks[name], "test", None, limit)) for of in tasks for name in of}
    return len(tasks), sum(sizes[name] for of in tasks for name in of)
