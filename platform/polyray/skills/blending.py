"""The one skill that a weighted sum of skills amounts to, and how its card lets it be computed again."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.modules.grouping import weighted_sum
from polyray.skills.card import CARD, Card, Parent
from polyray.skills.skill import Skill, ancestor, load_skill


def parents_of(folders: Sequence[Path], weights: Tensor, seen_from: Path) -> tuple[Parent, ...]:
    """The skills in `folders` as parents of one that is written to the folder `seen_from`.

    weights [sites or 1, heads, skills]; tables of all sites that are equal are written once.
    """
    rows = weights.detach().float().cpu()
    if bool((rows == rows[:1]).all()):
        rows = rows[:1]
    return tuple(
        Parent(**ancestor(folder, seen_from).model_dump(), weights=tuple(map(tuple, rows[..., index].tolist())))
        for index, folder in enumerate(folders)
    )


def recompute(folder: Path, search: Sequence[Path] = ()) -> Skill:
    """The skill in `folder` computed again, bit for bit, from the parents that its card names.

    A parent is looked for at its path, seen from `folder`, then by its fingerprint among the skills in the libraries
    `search`.

    Raises:
        InputError: the skill has no parents, or one cannot be found.
    """
    skill = load_skill(folder)
    card = skill.card
    if not card.parents:
        raise InputError(f"{folder / CARD} names no parents: the skill {card.name!r} is no sum of others.")
    parents = [_parent(folder, parent, search) for parent in card.parents]
    weights = torch.tensor([parent.weights for parent in card.parents])  # [skills, sites or 1, heads]
    modules = weighted_sum([parent.modules for parent in parents], card.sites, weights.permute(1, 2, 0))
    return Skill(card=card, tensors={**modules, **{n: x for n, x in skill.tensors.items() if n not in modules}})


def _parent(folder: Path, parent: Parent, search: Sequence[Path]) -> Skill:
    by_path = folder / parent.path
    candidates = [by_path] if parent.path and (by_path / CARD).is_file() else []
    candidates += [card.parent for library in search for card in sorted(library.glob(f"[!.]*/{CARD}"))]
    for candidate in candidates:
        skill = load_skill(candidate)
        if skill.card.fingerprint == parent.fingerprint:
            return skill
    raise InputError(
        f"The parent {parent.name!r} of the skill in {folder} (fingerprint {parent.fingerprint[:12]}) is neither at "
        f"{by_path} nor in {', '.join(map(str, search)) or 'a library to search'}."
    )


def same_tensors(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether two skills hold the same bits under the same names."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def parents_resolve(folder: Path, card: Card) -> list[str]:
    """The names of the card's parents that are not at their paths or have other tensors now."""
    lost = []
    for parent in card.parents:
        try:
            _parent(folder, parent, ())
        except InputError:
            lost.append(parent.name)
    return lost
