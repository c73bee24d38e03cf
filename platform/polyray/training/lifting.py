"""Lifting of a skill from a trimmed backbone onto the full one, by the full one's name."""

from dataclasses import replace
from pathlib import Path

from polyray.backbones import load_backbone
from polyray.skills.skill import Skill, save_skill
from polyray.skills.untrimming import lift_to_full
from polyray.training.multitask import backbone_card


def lift_to(folder: Path, out: Path, name: str, *, trimmed: Path | None = None, without_heads: bool = False) -> Skill:
    """Write the skill in `folder`, of a trimmed copy of the backbone called `name`, for that backbone as `out`.

    Args:
        trimmed: folder of the copy, where it is not at the path that the skill's card names any more.
        without_heads: whether heads with an entry for each piece of the vocabulary are left out.

    Raises:
        InputError: see `lift_to_full`.
        StorageError: the disk refused.
    """
    backbone = load_backbone(name)
    skill = lift_to_full(
        folder, out, backbone_card(backbone), backbone.network, trimmed=trimmed, without_heads=without_heads
    )
    return replace(skill, card=save_skill(skill, out))
