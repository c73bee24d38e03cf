"""Few-shot adaptations as pieces of work, and groups of them that one process does."""

import logging
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from polyray.backbones.precision import SkillsDtype
from polyray.errors import InputError
from polyray.formats import file_name
from polyray.modules.kinds import MODULES
from polyray.objectives import OBJECTIVES, EvaluationOptions, TextOptions
from polyray.routing import ROUTERS
from polyray.runs.sealed import read_sealed
from polyray.skills.skill import load_skill
from polyray.skills.spec import InventorySpec
from polyray.tasks import Suite
from polyray.training.methods import AdaptationOptions, Method, candidates, stacks
from polyray.training.recipe import SuiteConfig

log = logging.getLogger(__name__)


class AdaptationRecipe(SuiteConfig):
    """Adapt the skills of a run to tasks that it has not seen."""

    files: ClassVar[frozenset[str]] = frozenset({"skills"})

    skills: str = ""
    """Folder that `polyray run polytropon` wrote: RUN/skills."""
    backbone_dtype: SkillsDtype = "card"
    """Number format of the backbone's weights: see polytropon; card: the one that the skills were trained with."""
    text: TextOptions = TextOptions()
    """Lengths of texts."""
    adapt: AdaptationOptions = AdaptationOptions(warmup=0.1)
    """Training of one adaptation, and the choice of its result."""
    evaluation: EvaluationOptions = EvaluationOptions()
    """Scoring of development and test examples."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One adaptation: a task, a few-shot split of it, a method; results go below `out`."""

    recipe: AdaptationRecipe
    out: Path
    task: str
    seed: int
    method: Method

    @property
    def name(self) -> str:
        """Name of the adaptation in the run folder."""
        return f"{file_name(self.task)}-{self.seed}-{self.method}"

    @property
    def result_file(self) -> Path:
        """The file with the adaptation's outcome."""
        return self.out / "adapted" / f"{self.name}.json"

    @property
    def skill_folder(self) -> Path:
        """The folder of the adapted skill, where there is one."""
        return self.out / "skills" / self.name

    def outcome(self) -> dict[str, Any] | None:
        """The outcome of an earlier start; None where there is none, or it or its skill was lost or altered."""
        if not self.result_file.exists():
            return None
        try:
            outcome = read_sealed(self.result_file)
            whole = not outcome["skill"] or load_skill(self.skill_folder).card.fingerprint == outcome["skill"]
        except InputError as error:
            log.warning("%s The adaptation is done again.", error)
            return None
        return outcome if whole else None


Unit = tuple[Piece, ...]
"""Pieces of one method that choose their learning rates together."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Work of one process: units of one recipe and method.

    together: whether their trainings share batches.
    """

    units: tuple[Unit, ...]
    together: bool

    @property
    def pieces(self) -> list[Piece]:
        """The pieces of all units."""
        return [piece for unit in self.units for piece in unit]

    @property
    def out(self) -> Path:
        """The folder below which the results of all pieces go."""
        return self.units[0][0].out

    def moved(self, out: Path) -> Self:
        """The group with another folder."""
        return replace(self, units=tuple(tuple(replace(piece, out=out) for piece in unit) for unit in self.units))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All pieces of one recipe by task, split and method, and the groups in which they are done."""

    pieces: tuple[Piece, ...]
    groups: tuple[Group, ...]


def groups_of(pieces: Sequence[Piece], suite: Suite, spec: InventorySpec) -> list[Group]:
    """The pieces of one recipe in groups of `adapt.stack` trainings that can be done together, the longest texts first.

    They depend on the pieces alone: a run that goes on has the same groups, and a group is done as a whole.
    """
    kinds: dict[tuple[Method, str], dict[tuple[str, int], list[Piece]]] = {}
    for piece in pieces:
        split = piece.seed if piece.recipe.adapt.choose == "split" else 0
        by_split = kinds.setdefault((piece.method, suite.tasks[piece.task].objective), {})
        by_split.setdefault((piece.task, split), []).append(piece)
    router, module = ROUTERS[spec.routing.kind], MODULES[spec.modules.kind]
    groups: list[Group] = []
    for (method, objective), by_split in kinds.items():
        units = sorted(map(tuple, by_split.values()), key=lambda unit: -_length(unit, suite))
        options = units[0][0].recipe.adapt
        if options.stack == 1 or not stacks(method, router, module, OBJECTIVES[objective]):
            groups += [Group(units=(unit,), together=False) for unit in units]
        else:
            groups += _filled(units, len(candidates(options, method, router)), options.stack)
    return groups


def _filled(units: Sequence[Unit], n_candidates: int, size: int) -> list[Group]:
    """Neighbouring units in groups of at most `size` trainings, about as many in each; a unit stays whole."""
    sizes = [n_candidates * len(unit) for unit in units]
    most = math.ceil(sum(sizes) / math.ceil(sum(sizes) / size))
    groups: list[list[Unit]] = []
    n_filled = most
    for unit, n_trainings in zip(units, sizes, strict=True):
        if n_filled + n_trainings > most:
            groups.append([])
            n_filled = 0
        groups[-1].append(unit)
        n_filled += n_trainings
    return [Group(units=tuple(group), together=n_candidates * sum(map(len, group)) > 1) for group in groups]


def _length(unit: Unit, suite: Suite) -> float:
    """Letters of a training example of the unit, on average."""
    return statistics.fmean(
        len(example.line) for piece in unit for example in suite.tasks[piece.task].examples("train", piece.seed)
    )
