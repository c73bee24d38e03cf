"""Skills beneath another one: they are added to the backbone's parameters before it is trained or used."""

from collections.abc import Sequence
from pathlib import Path

from polyray.backbones import Backbone
from polyray.errors import InputError
from polyray.skills.card import Ancestor, check_backbone
from polyray.skills.delta import fold
from polyray.skills.skill import Skill, ancestor, load_skill

NONE = "none"
"""In place of folders: no skill lies beneath."""


def put_beneath(backbone: Backbone, folders: Sequence[str | Path]) -> None:
    """Add the skills in these folders to the backbone's parameters, in this order, without their heads.

    Raises:
        InputError: a skill cannot be loaded, is of another backbone, or its modules change no parameters.
    """
    for folder in folders:
        skill = load_skill(Path(folder))
        check_backbone(skill.card, backbone.fingerprint)
        fold(skill, backbone.network)


def beneath(skill: Skill, folder: Path, chosen: Sequence[str]) -> list[Path]:
    """The folders of the skills that are to lie beneath a skill that was loaded from `folder`.

    Args:
        chosen: folders, or NONE; empty: those from the skill's training, which its card names.

    Raises:
        InputError: one that the card names is not where it says, or has changed.
    """
    if not chosen:
        return [_folder_of(folder, skill, base) for base in skill.card.base]
    return [] if tuple(chosen) == (NONE,) else [Path(name) for name in chosen]


def ancestors(folders: Sequence[str], seen_from: Path) -> tuple[Ancestor, ...]:
    """The skills in these folders, as the card of a skill that is written to the folder `seen_from` names them.

    Raises:
        InputError: there is no skill in one.
    """
    return tuple(ancestor(Path(folder), seen_from) for folder in folders)


def _folder_of(folder: Path, skill: Skill, base: Ancestor) -> Path:
    path = folder / base.path
    try:
        same = ancestor(path, folder).fingerprint == base.fingerprint
    except InputError:
        same = False
    if not same:
        raise InputError(
            f"The skill {skill.card.name!r} was trained on top of the skill {base.name!r}, which is not at {path} any "
            "more, or has changed. Put it there, or say with base=[FOLDER] what lies beneath; base=[none]: nothing."
        )
    return path
