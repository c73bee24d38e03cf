"""The study of merging: the skill of each task by each method, and what is merged out of them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from polyray.formats import file_name
from polyray.tasks import Suite
from polyray.training.data import partition_tasks
from polyray.training.transfer.cells import SCORES, rebased
from polyray.training.transfer.merge_options import ALONE
from polyray.training.transfer.plan import PlannedTraining, rows_of, task_training
from polyray.training.transfer.plan import trainings_of as trainings_of_task
from polyray.training.transfer.recipe import TransferRecipe


@dataclass(frozen=True, kw_only=True)
class MergedCell:
    """Skills of some tasks by one method and seed, merged in one way, and scored on these tasks.

    method: key of TUNINGS; empty: the backbone without skills. way: name among `merge.ways`, or ALONE. order: number of
    the order in which tasks are merged. folders: of each task's skill.
    """

    recipe: TransferRecipe
    out: Path
    method: str
    way: str
    seed: int
    order: int
    tasks: tuple[str, ...]
    folders: tuple[Path, ...]

    @property
    def file(self) -> Path:
        """The file of the outcome."""
        if not self.method:
            return self.out / SCORES / "untrained.json"
        merged = self.tasks[0] if self.way == ALONE else f"{len(self.tasks)}-{self.order}"
        return self.out / SCORES / f"{file_name(f'{self.method}-{self.way}-{self.seed}-{merged}')}.json"

    @property
    def skills(self) -> tuple[Path, ...]:
        """The folders of the skills that are scored together."""
        return self.folders

    def moved(self, out: Path) -> Self:
        """The cell with another folder, to which the skills in the old one have been moved."""
        return replace(self, out=out, folders=tuple(rebased(path, self.out, out) for path in self.folders))


def merged_tasks(suite: Suite) -> tuple[str, ...]:
    """The tasks whose skills are merged: those that the suite's partition trains on."""
    return partition_tasks(suite, "train")


def trainings_of(recipe: TransferRecipe, tasks: Sequence[str]) -> dict[str, PlannedTraining]:
    """All skills to train, by name: of each task by each method and seed."""
    trainings: dict[str, PlannedTraining] = {}
    for task in tasks:
        alone = recipe.model_copy(update={"study": "matrix", "source": task, "targets": {}, "composed": {}})
        names = {
            task_training(row, seed): skill_training(task, row.method, seed)
            for row in rows_of(alone)
            for seed in recipe.seeds
        }
        for name, training in trainings_of_task(alone).items():
            ranking = names.get(training.ranking, "")
            trainings[names[name]] = replace(training, name=names[name], ranking=ranking)
    return trainings


def skill_training(task: str, method: str, seed: int) -> str:
    """Name of the training of a task's skill."""
    return file_name(f"skill-{task}-{method}-{seed}")


def subsets(recipe: TransferRecipe, tasks: Sequence[str]) -> list[tuple[int, tuple[str, ...]]]:
    """The sets of tasks that are merged, each with the number of its order, smaller ones of an order within larger."""
    counts = [n for n in recipe.merge.counts if n < len(tasks)]
    chosen = []
    for order in range(recipe.merge.orders):
        drawn = random.Random(order).sample(list(tasks), len(tasks))
        chosen += [(order, tuple(drawn[:n])) for n in counts]
    return [*chosen, (0, tuple(tasks))]


def cells(
    recipe: TransferRecipe, tasks: Sequence[str], out: Path, folders: Mapping[str, Path], *, untrained: bool
) -> list[MergedCell]:
    """Everything that is scored: each skill alone, and those of each set of tasks merged in each way.

    Args:
        folders: of the trainings' skills, by name. untrained: score the backbone without skills, too.
    """

    def cell(method: str, way: str, seed: int, order: int, names: tuple[str, ...]) -> MergedCell:
        skills = tuple(folders[skill_training(name, method, seed)] for name in names) if method else ()
        return MergedCell(
            recipe=recipe, out=out, method=method, way=way, seed=seed, order=order, tasks=names, folders=skills
        )

    runs = [(method, seed) for method in recipe.methods for seed in recipe.seeds]
    return [
        *([cell("", ALONE, 0, 0, tuple(tasks))] if untrained else []),
        *(cell(method, ALONE, seed, 0, (task,)) for method, seed in runs for task in tasks),
        *(
            cell(method, way, seed, order, names)
            for method, seed in runs
            for way in recipe.merge.ways
            for order, names in subsets(recipe, tasks)
        ),
    ]
