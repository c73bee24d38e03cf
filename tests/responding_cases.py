"""Skills of random values on one tiny backbone, for tests of systems that answer."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from polyray.backbones import Backbone, load_backbone
from polyray.modules.attach import attach
from polyray.modules.bottleneck import BottleneckOptions
from polyray.modules.changes import SparseChange
from polyray.modules.lora import LoraOptions
from polyray.modules.presets import site_patterns
from polyray.modules.stack import StackOptions
from polyray.routing import FixedRouter
from polyray.skills.skill import Skill, save_skill
from polyray.skills.sparse_delta import SparseDelta, sparse_skill
from polyray.training.beneath import ancestors
from polyray.training.model import Modular
from polyray.training.multitask import backbone_card
from polyray.training.tuning.skills import NAMELESS, skill_of_modules

MODULES: dict[str, tuple[StackOptions, str]] = {
    "lora": (LoraOptions(rank=2), "attention"), "bottleneck": (BottleneckOptions(rank=4), "pfeiffer"),
}  # fmt: skip


def _sparse(backbone: Backbone, draw: Callable[..., Tensor]) -> Skill:
    changes = {}
    for name, parameter in backbone.network.named_parameters():
        support = (draw(parameter.numel()) > 0.5).nonzero().flatten().int()
        changes[name] = SparseChange(values=0.1 * draw(len(support)), support=support, shape=tuple(parameter.shape))
    return sparse_skill(SparseDelta(changes=changes), name="", backbone=NAMELESS)


def _modules(kind: str, backbone: Backbone, draw: Callable[..., Tensor]) -> Skill:
    options, sites = MODULES[kind]
    patterns = site_patterns(backbone.family, (sites,), backbone.network)
    inventory = attach(backbone.network, patterns, kind, 1, options, torch.Generator())
    with torch.no_grad():
        for parameter in inventory.parameters():
            parameter.copy_(0.3 * draw(*parameter.shape))
    return skill_of_modules(Modular(backbone, inventory, FixedRouter(["known"], torch.ones(1, 1))))


KINDS: dict[str, Callable[[Backbone, Callable[..., Tensor]], Skill]] = {
    "base": _sparse, "anti": _sparse, "expert": partial(_modules, "lora"), "other": partial(_modules, "bottleneck"),
}  # fmt: skip


def write_skills(
    folder: Path, backbone: str = "tiny-causal", names: Sequence[str] = tuple(KINDS)
) -> Callable[[str], Path]:
    """Name -> folder of a skill: base and anti of all weights' entries, expert of LoRA, other of bottlenecks.

    All but base lie on top of base, where it is among them.
    """
    for seed, name in enumerate(names):
        network, path = load_backbone(backbone), folder / name
        skill = KINDS[name](network, partial(torch.randn, generator=torch.Generator().manual_seed(seed)))
        beneath = ancestors([str(folder / "base")] if "base" in names and name != "base" else [], path)
        card = skill.card.model_copy(update={"name": name, "backbone": backbone_card(network), "base": beneath})
        save_skill(replace(skill, card=card), path)
    return lambda name: folder / name
