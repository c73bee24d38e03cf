"""Multi-source training: each batch is of one task, and skills of that task lie beneath while it is learned from."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import fmean
from typing import Any

from polyray.backbones import Backbone
from polyray.errors import InputError
from polyray.lookup import all_known
from polyray.objectives import Batch
from polyray.skills.card import check_backbone
from polyray.skills.composition import SparseSkills
from polyray.skills.skill import load_skill
from polyray.skills.sparse_delta import sparse_delta
from polyray.training.data import Encoded

Predict = Callable[[Encoded], Sequence[Any]]


class Sources:
    """Sparse skills that lie beneath for some tasks, in force for the length of a block and gone without a trace.

    Ansell et al. 2022 (arXiv:2110.07560), section 3.3.
    """

    def __init__(self, backbone: Backbone, folders: Mapping[str, Sequence[str]]) -> None:
        """Load the skills in `folders`, by task; without any nothing is ever in force.

        Raises:
            InputError: a skill cannot be loaded, is no sparse delta, or is of another backbone.
        """
        skills = {folder: load_skill(Path(folder)) for of_task in folders.values() for folder in of_task}
        for skill in skills.values():
            check_backbone(skill.card, backbone.fingerprint)
        deltas = {folder: sparse_delta(skill) for folder, skill in skills.items()}
        self._folders = dict(folders)
        self._skills = SparseSkills(backbone.network, deltas) if deltas else None

    def beneath(self, task: str) -> AbstractContextManager[object]:
        """A block in which the skills of `task` are added to the network; the optimiser steps outside."""
        if self._skills is None:
            return nullcontext()
        return self._skills.using(dict.fromkeys(self._folders.get(task, ()), 1.0))

    def around(self, batch: Batch) -> AbstractContextManager[object]:
        """The block `beneath` for a batch, whose examples are of one task where there are sources."""
        return self.beneath(batch.tasks[0])

    def predict(self, data: Encoded, predict: Predict) -> list[Any]:
        """The prediction for each row, those of a task with its skills beneath."""
        if self._skills is None:
            return list(predict(data))
        by_index: dict[int, Any] = {}
        for task, indices in rows_of(data).items():
            with self.beneath(task):
                of_task = predict(Encoded(objective=data.objective, rows=tuple(data.rows[index] for index in indices)))
            by_index.update(zip(indices, of_task, strict=True))
        return [by_index[index] for index in range(len(data.rows))]

    def validate(self, validate: Callable[[Sequence[str]], dict[str, Any]], tasks: Sequence[str]) -> dict[str, Any]:
        """Figures of a validation of all `tasks`, each with its skills beneath; `validate` is called with some."""
        if self._skills is None:
            return validate(tasks)
        figures: dict[str, dict[str, float]] = {"tasks": {}, "losses": {}}
        for task in tasks:
            with self.beneath(task):
                of_task = validate([task])
            for name in figures:
                figures[name] |= of_task[name]
        return {"score": fmean(figures["tasks"].values()), "loss": fmean(figures["losses"].values()), **figures}


def rows_of(data: Encoded) -> dict[str, list[int]]:
    """The indices of the rows of each task."""
    indices: dict[str, list[int]] = {}
    for index, row in enumerate(data.rows):
        indices.setdefault(row.example.task, []).append(index)
    return indices


def check_sources(sources: Mapping[str, Sequence[str]], tasks: Sequence[str]) -> None:
    """Refuse sources of tasks that are not learned.

    Raises:
        InputError: there is one.
    """
    if sources:
        try:
            all_known(sources, tasks, "training task")
        except ValueError as error:
            raise InputError(f"sources: {error}") from None
