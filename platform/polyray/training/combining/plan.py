"""Everything that a comparison of combined skills scores, and the tasks and skills that it is about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from polyray.errors import InputError
from polyray.modules.kinds import MODULES
from polyray.skills.card import Card
from polyray.skills.skill import load_card
from polyray.skills.sparse_delta import KIND
from polyray.tasks import Suite
from polyray.training.combining.pieces import BACKBONE, CombinedPiece
from polyray.training.combining.recipe import CombineRecipe

MERGED = "merged"


@dataclass(frozen=True, kw_only=True)
class Members:
    """The skills that are combined.

    names: distinct, for tables. owners: the number of the skill that knows each task, in the order of the skills.
    """

    folders: tuple[Path, ...]
    names: tuple[str, ...]
    owners: dict[str, int]

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks that are scored."""
        return tuple(self.owners)

    @property
    def pieces(self) -> tuple[str, ...]:
        """The names of the pieces of each skill alone."""
        return tuple(skill_piece(number) for number in range(len(self.folders)))


def members_of(recipe: CombineRecipe, suite: Suite) -> Members:
    """The skills of a recipe, their cards checked.

    Raises:
        InputError: there are fewer than two, they are of different backbones, or a task is of two skills, unknown, or
            has no answers to choose among.
    """
    folders = tuple(map(Path, recipe.skills))
    if len(folders) < 2:
        raise InputError("combine needs skills=[FOLDER, FOLDER, ...], two skills at least.")
    cards = [load_card(folder) for folder in folders]
    for folder, card in zip(folders, cards, strict=True):
        if card.backbone.fingerprint != cards[0].backbone.fingerprint:
            raise InputError(
                f"{folder} is a skill of {card.backbone.name!r}, and {folders[0]} of {cards[0].backbone.name!r}, or of "
                "other weights of it: combine skills of one backbone."
            )
    owners: dict[str, int] = {}
    for number, (folder, card) in enumerate(zip(folders, cards, strict=True)):
        for task in card.tasks:
            if task in owners:
                raise InputError(f"Both {folders[owners[task]]} and {folder} are skills of the task {task!r}.")
            owners[task] = number
        if not card.tasks:
            raise InputError(f"{folder} names no task, so nothing says which examples are its own.")
    _check_tasks(suite, owners)
    if recipe.ways:
        _check_mergeable(folders, cards)
    return Members(folders=folders, names=_distinct([card.name for card in cards]), owners=owners)


def _check_tasks(suite: Suite, tasks: Iterable[str]) -> None:
    for name in tasks:
        if name not in suite.tasks:
            raise InputError(f"The suite {suite.name} has no task {name!r}, which a skill was trained on.")
        if not suite.tasks[name].rankable:
            raise InputError(
                f"Task {name!r} has no closed set of answers to choose among, so answers of several skills cannot be "
                "averaged. Leave its skill out."
            )


def _check_mergeable(folders: Sequence[Path], cards: Sequence[Card]) -> None:
    for folder, card in zip(folders, cards, strict=True):
        if card.kind != KIND and not MODULES[card.kind].changes_weights:
            raise InputError(
                f"{folder} is of the kind {card.kind!r}, which changes outputs, not parameters, and cannot be merged: "
                "set ways={}."
            )


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names))


def first_pieces(recipe: CombineRecipe, members: Members, out: Path) -> list[CombinedPiece]:
    """The embeddings, each skill alone, and all skills merged in each way."""

    def piece(name: str, folders: Sequence[Path], way: str = "") -> CombinedPiece:
        return CombinedPiece(recipe=recipe, out=out, name=name, folders=tuple(folders), tasks=members.tasks, way=way)

    return [
        piece(BACKBONE, members.folders[:1]),
        *(piece(name, [folder]) for name, folder in zip(members.pieces, members.folders, strict=True)),
        *(piece(f"{MERGED}-{way}", members.folders, way) for way in recipe.ways),
    ]


def cluster_pieces(
    recipe: CombineRecipe, members: Members, out: Path, groups: Sequence[Sequence[int]]
) -> list[CombinedPiece]:
    """Groups of two skills and more, each merged in each way."""
    pairs = [(way, group) for way in recipe.ways for group in groups if len(group) > 1]
    return [
        CombinedPiece(
            recipe=recipe,
            out=out,
            name=group_piece(way, group),
            folders=tuple(members.folders[number] for number in group),
            tasks=members.tasks,
            way=way,
        )
        for way, group in pairs
    ]


def skill_piece(number: int) -> str:
    """Name of the piece of one skill alone."""
    return f"skill-{number:03}"


def group_piece(way: str, group: Sequence[int]) -> str:
    """Name of the piece of a group of skills merged in a way; of one skill that of the skill."""
    return skill_piece(group[0]) if len(group) == 1 else f"{way}-{'-'.join(map(str, group))}"
