"""A skill as changes of the backbone's named parameters, and a backbone with a skill folded in."""

from typing import cast

import torch
from torch import nn

from polyray.errors import InputError
from polyray.modules.changes import Change, Delta
from polyray.modules.kinds import MODULES
from polyray.modules.stack import StackOptions, WeightStack, no_changes
from polyray.skills.card import Card
from polyray.skills.skill import Skill
from polyray.skills.sparse_delta import KIND, UNTIED, on_network, sparse_delta


def options_of(card: Card) -> StackOptions:
    """The options of a skill's modules; a card says more beside them."""
    return MODULES[card.kind].Options.model_validate({k: x for k, x in card.options.items() if k != UNTIED})


def delta(skill: Skill, backbone: nn.Module) -> Delta:
    """The changes that `skill` makes to the parameters of `backbone`, by their names.

    Raises:
        InputError: modules of this kind change outputs, not parameters, or a sparse delta is of another network.
    """
    card = skill.card
    if card.kind == KIND:
        return on_network(sparse_delta(skill), backbone, f"The skill {card.name!r}").changes
    entry = MODULES[card.kind]
    if not entry.changes_weights:
        raise no_changes(card.kind)
    weight_stack = cast(type[WeightStack], entry)
    options = options_of(card)
    changes: dict[str, Change] = {}
    for site in card.sites:
        prefix = f"{site}/"
        tensors = {name.removeprefix(prefix): x for name, x in skill.modules.items() if name.startswith(prefix)}
        layer = backbone.get_submodule(site)
        changes |= {
            f"{site}.{name}": change for name, change in weight_stack.parameter_changes(layer, options, tensors).items()
        }
    return changes


def fold(skill: Skill, backbone: nn.Module) -> None:
    """Add the changes of `skill` to the parameters of `backbone`, which then computes with it at no further cost.

    Parameters in bf16 are rounded once, after the sum.

    Raises:
        InputError: modules of this kind change outputs, not parameters, or the backbone is quantised.
    """
    changes = delta(skill, backbone)
    quantised = [name for name in changes if not backbone.get_parameter(name).is_floating_point()]
    if quantised:
        raise InputError(f"{quantised[0]} is quantised: load the backbone in fp32 or bf16 to fold a skill into it.")
    with torch.no_grad():
        for name, change in changes.items():
            change.add_to(backbone.get_parameter(name))
