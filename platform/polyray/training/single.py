"""A backbone with one skill, of whatever kind, and the skills beneath it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from polyray.backbones import Backbone, load_backbone
from polyray.backbones.precision import SkillsDtype
from polyray.routing import FixedRouter
from polyray.skills.delta import fold
from polyray.skills.skill import Skill, load_trained_backbone
from polyray.skills.sparse_delta import KIND, UNTIED
from polyray.training.beneath import beneath, put_beneath
from polyray.training.model import Modular, backbone_of, bare
from polyray.training.placing import inventory_of


def load_single(
    path: Path, skill: Skill, tasks: Sequence[str], dtype: SkillsDtype = "card", base: Sequence[str] = ()
) -> Modular:
    """The backbone with the one skill of `path`, which `tasks` use alone, in evaluation mode and frozen.

    Args:
        dtype: number format of the backbone's weights; card: as in training.
        base: folders of the skills beneath it; empty: those from its training, `none`: none.

    Raises:
        InputError: the backbone cannot be loaded or has other weights now, or a tensor does not fit.
    """
    trained = skill.card.trained_backbone
    folders = beneath(skill, path, base)
    backbone = backbone_of(skill.card.backbone, path, dtype, trained is not None)
    if skill.card.options.get(UNTIED):
        backbone.untie()
    if folders or skill.card.kind == KIND:  # answers are embedded by the network as it was pretrained
        card = skill.card.backbone
        backbone.original = lambda: load_backbone(card.name, card.revision, backbone.dtype).model
    put_beneath(backbone, folders)
    model = put_on(backbone, skill, tasks)
    if trained is not None:
        model.load_backbone_state(load_trained_backbone(path, trained))
    model.backbone.freeze()
    return model.eval()


def put_on(backbone: Backbone, skill: Skill, tasks: Sequence[str]) -> Modular:
    """`backbone` with the one skill, which `tasks` use alone.

    Raises:
        InputError: the backbone lacks a site of the skill, or a tensor does not fit.
    """
    card, network = skill.card, backbone.network
    if card.kind == KIND:
        fold(skill, network)
        model = bare(backbone, tasks)
        model.load_heads_state(skill.heads)
        return model
    inventory = inventory_of(skill, network, backbone.name)
    model = Modular(backbone, inventory, FixedRouter(tasks, torch.ones(len(tasks), 1)))
    inventory.install(network)
    model.load_heads_state(skill.heads)
    return model
