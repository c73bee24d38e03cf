"""Skills beneath another one: they are in force on the backbone before it is trained or used."""

from collections.abc import Sequence
from pathlib import Path

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of
from polyray.errors import InputError
from polyray.modules.kinds import MODULES
from polyray.skills.card import Ancestor, check_backbone
from polyray.skills.delta import fold
from polyray.skills.skill import Skill, ancestor, load_skill
from polyray.skills.sparse_delta import KIND
from polyray.training.placing import inventory_of

NONE = "none"
"""In place of folders: no skill lies beneath."""


def put_beneath(backbone: Backbone, folders: Sequence[str | Path]) -> None:
    """Let the skills in these folders be in force on the backbone, in this order, without their heads.

    Skills that change parameters are added to these; modules that change the outputs of layers stay on their layers.

    Raises:
        InputError: a skill cannot be loaded, is of another backbone, or does not fit it.
    """
    skills = [load_skill(Path(folder)) for folder in folders]
    for skill in skills:
        check_backbone(skill.card, backbone.fingerprint)
    of_weights = [skill for skill in skills if skill.card.kind == KIND or MODULES[skill.card.kind].changes_weights]
    for skill in of_weights:
        fold(skill, backbone.network)
    for skill in skills:
        if skill not in of_weights:
            inventory = inventory_of(skill, backbone.network, backbone.name).to(device_of(backbone.network))
            inventory.keep_in_force()
            inventory.install(backbone.network, on_top=True)


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
