"""Trainings, scores and tables of a transfer, by its study: a matrix of languages and methods, or merged skills."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from polyray.backbones import load_backbone
from polyray.errors import InputError
from polyray.objectives import OBJECTIVES
from polyray.tasks import Suite, read_all
from polyray.training.transfer import merge_plan
from polyray.training.transfer.cells import Cell, encoded_tests, score_cell
from polyray.training.transfer.merge_plan import merged_tasks
from polyray.training.transfer.merge_table import gather_merged
from polyray.training.transfer.merged_cells import score_merged
from polyray.training.transfer.plan import (
    PlannedTraining,
    language_training,
    rows_of,
    task_training,
    trainings_of,
)
from polyray.training.transfer.recipe import TransferRecipe
from polyray.training.transfer.table import gather
from polyray.training.tuning.table import TUNINGS

Folders = Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class Study:
    """The work of a kind of study.

    Attributes:
        check: called as check(recipe, suite); refuses what cannot be studied.
        scored: called as scored(recipe, suite): the tasks whose test examples are scored.
        trainings: called as trainings(recipe, suite): the skills to train, by name.
        cells: called as cells(recipe, suite, out, folders), with the folder of each training's skill.
        score: called with a cell, writes its outcome and returns it.
        gather: called as gather(recipe, suite, outcomes): the metrics of the run.
    """

    check: Callable[[TransferRecipe, Suite], None]
    scored: Callable[[TransferRecipe, Suite], Sequence[str]]
    trainings: Callable[[TransferRecipe, Suite], dict[str, PlannedTraining]]
    cells: Callable[[TransferRecipe, Suite, Path, Folders], Sequence[Any]]
    score: Callable[[Any], dict[str, Any]]
    gather: Callable[[TransferRecipe, Suite, Sequence[Mapping[str, Any]]], dict[str, Any]]


def _check_languages(recipe: TransferRecipe, suite: Suite) -> None:
    read_all(suite, (recipe.source, *recipe.targets), ("test",))
    objective = OBJECTIVES[suite.tasks[recipe.source].objective]
    key = objective.head_key(suite.tasks[recipe.source])
    for name in recipe.targets:
        if suite.tasks[name].objective != objective.name or objective.head_key(suite.tasks[name]) != key:
            raise InputError(
                f"The tasks {recipe.source!r} and {name!r} have different labels, so that they share no head: "
                f"{', '.join(suite.tasks[recipe.source].labels or ())}; {', '.join(suite.tasks[name].labels or ())}. "
                "Choose those that both have with tasks.types."
            )
    languages = recipe.languages
    if any(row.language for row in rows_of(recipe)) and not (languages.path and languages.source):
        raise InputError(
            "Composition needs texts: set languages.path=FOLDER and languages.source=LANGUAGE, or composed={} for none."
        )


def _language_cells(recipe: TransferRecipe, suite: Suite, out: Path, folders: Folders) -> list[Cell]:
    """Cells to score: without languages all tasks at once, else each target, and the source, over each language."""
    cells = []
    for row in rows_of(recipe):
        for seed in recipe.seeds:
            cell = partial(
                Cell, recipe=recipe, out=out, row=row.name, seed=seed, skill=folders[task_training(row, seed)]
            )
            if not row.language:
                cells.append(cell(language="", base=(), tasks=(recipe.source, *recipe.targets)))
                continue
            for language in dict.fromkeys((recipe.languages.source, *recipe.targets.values())):
                tasks = [recipe.source, *(task for task, spoken in recipe.targets.items() if spoken == language)]
                base = (folders[language_training(row.language, language)],)
                cells.append(cell(language=language, base=base, tasks=tuple(tasks)))
    return cells


def _check_merging(recipe: TransferRecipe, suite: Suite) -> None:
    tasks = merged_tasks(suite)
    if len(tasks) < 2:
        raise InputError(f"study=merge merges the skills of several tasks, and there is only {tasks[0]!r}.")
    read_all(suite, tasks, ("test",))
    able = [name for name, tuning in TUNINGS.items() if tuning.changes_weights]
    odd = [method for method in recipe.methods if method not in able]
    if odd:
        raise InputError(
            f"Skills by method {odd[0]!r} change no parameters of the backbone, so that they cannot be merged with "
            f"study=merge: choose methods from {', '.join(able)}."
        )


def _merged_cells(recipe: TransferRecipe, suite: Suite, out: Path, folders: Folders) -> list[merge_plan.MergedCell]:
    tasks = merged_tasks(suite)
    headless = all(OBJECTIVES[suite.tasks[task].objective].head_key(suite.tasks[task]) == "" for task in tasks)
    return merge_plan.cells(recipe, tasks, out, folders, untrained=headless)


_MATRIX = Study(
    check=_check_languages,
    scored=lambda recipe, suite: (recipe.source, *recipe.targets),
    trainings=lambda recipe, suite: trainings_of(recipe),
    cells=_language_cells,
    score=score_cell,
    gather=lambda recipe, suite, outcomes: gather(recipe, rows_of(recipe), outcomes),
)
STUDIES: Mapping[str, Study] = {
    "matrix": _MATRIX,
    "density": _MATRIX,
    "merge": Study(
        check=_check_merging,
        scored=lambda recipe, suite: merged_tasks(suite),
        trainings=lambda recipe, suite: merge_plan.trainings_of(recipe, merged_tasks(suite)),
        cells=_merged_cells,
        score=score_merged,
        gather=lambda recipe, suite, outcomes: gather_merged(recipe, merged_tasks(suite), outcomes),
    ),
}


def check_lengths(recipe: TransferRecipe, suite: Suite) -> None:
    """Read all test examples as they will be scored, so that what is too long is refused before anything is trained.

    Raises:
        InputError: one is too long, or does not fit the backbone.
    """
    backbone = load_backbone(recipe.backbone)
    for name in STUDIES[recipe.study].scored(recipe, suite):
        encoded_tests(recipe, suite, backbone, name)
