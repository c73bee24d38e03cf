"""Scores of a task's skill with one composition beneath it, on the source's and the targets' test examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

from polyray.analysis.bootstrap import resampled_scores
from polyray.backbones import Backbone
from polyray.files import make_folders
from polyray.formats import file_name
from polyray.runs.notes import sealed_outcome
from polyray.runs.sealed import read_sealed, write_sealed
from polyray.skills.skill import load_card
from polyray.tasks import Suite, Task
from polyray.training.beneath import NONE
from polyray.training.data import Encoded, encoded, first_examples
from polyray.training.evaluation import predictions
from polyray.training.skill_source import SkillSource
from polyray.training.transfer.recipe import TransferRecipe
from polyray.training.worker import own_device

SCORES = "scores"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A skill of one row and seed, the skills beneath it, and the tasks that both are scored on.

    language: whose skill lies beneath; empty: none does.
    """

    recipe: TransferRecipe
    out: Path
    row: str
    seed: int
    language: str
    skill: Path
    base: tuple[Path, ...]
    tasks: tuple[str, ...]

    @property
    def file(self) -> Path:
        """The file of the outcome."""
        beneath = f"-{self.language}" if self.language else ""
        return self.out / SCORES / f"{file_name(f'{self.row}-{self.seed}{beneath}')}.json"

    def moved(self, out: Path) -> Self:
        """The cell with another folder, to which the skills in the old one have been moved."""
        return replace(
            self, out=out, skill=rebased(self.skill, self.out, out),
            base=tuple(rebased(path, self.out, out) for path in self.base),
        )  # fmt: skip

    @property
    def skills(self) -> tuple[Path, ...]:
        """The folders of the skills that are scored together."""
        return (self.skill, *self.base)


def rebased(path: Path, before: Path, after: Path) -> Path:
    """A path below the folder `before` as one below `after`; another path as it is."""
    return after / path.relative_to(before) if path.is_relative_to(before) else path


class ScoredCell(Protocol):
    """Something that is scored once, and its file."""

    @property
    def file(self) -> Path:
        """The file of the outcome."""

    @property
    def skills(self) -> tuple[Path, ...]:
        """The folders of the skills that are scored together."""


def earlier_outcome(cell: ScoredCell) -> dict[str, Any] | None:
    """The outcome of an earlier start with the same skills; None where there is none."""
    if not cell.file.exists():  # nor need its skills be
        return None
    return sealed_outcome(cell.file, "It is scored again.", skills=_fingerprints(cell.skills))


def write_outcome(cell: ScoredCell, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Write an outcome with the fingerprints of its skills, and return it as it is read again."""
    make_folders(cell.file.parent)
    write_sealed(cell.file, {"skills": _fingerprints(cell.skills), **outcome})
    return read_sealed(cell.file)


def _fingerprints(skills: Sequence[Path]) -> list[str]:
    return [load_card(folder).fingerprint for folder in skills]


def score_cell(cell: Cell) -> dict[str, Any]:
    """Score a cell, write its outcome with all predictions, and return it."""
    recipe = cell.recipe
    suite = recipe.load_suite()
    base = tuple(map(str, cell.base)) or (NONE,)
    model = SkillSource.of(cell.skill, "card", base).load(cell.tasks).to(own_device())
    scores: dict[str, Any] = {}
    for name in cell.tasks:
        task, data = suite.tasks[name], encoded_tests(recipe, suite, model.backbone, name)
        predicted = predictions(model, data, recipe.evaluation, recipe.task.text.max_output)
        scores[name] = {
            "scores": task.score(predicted, data.examples), "predictions": predicted,
            "resampled": _resampled(task, predicted, data.examples, recipe.resamples),
            "too_long": sum(row.cut for row in data.rows),
        }  # fmt: skip
    return write_outcome(cell, {"row": cell.row, "seed": cell.seed, "language": cell.language, "tasks": scores})


def encoded_tests(recipe: TransferRecipe, suite: Suite, backbone: Backbone, name: str) -> Encoded:
    """The test examples of a task as a transfer scores them.

    Raises:
        InputError: one is too long, or does not fit the backbone.
    """
    examples = first_examples(suite.tasks[name], "test", None, recipe.evaluation.max_examples)
    return encoded(backbone, suite, examples, recipe.task.text)


def _resampled(task: Task, predicted: Sequence[Any], examples: Sequence[Any], n_draws: int) -> list[float]:
    """The task's own metric of samples of its test examples; two systems get the same samples."""

    def score(indices: Sequence[int]) -> float:
        chosen = task.score([predicted[index] for index in indices], [examples[index] for index in indices])
        return next(iter(chosen.values()))

    return resampled_scores(score, len(examples), n_draws, seed=0)
