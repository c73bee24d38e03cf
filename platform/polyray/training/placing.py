"""Skills that are made of modules, on a backbone."""

import torch
from torch import nn

from polyray.errors import InputError
from polyray.modules.attach import Inventory
from polyray.modules.site import Site
from polyray.skills.delta import options_of
from polyray.skills.skill import Skill


def inventory_of(skill: Skill, network: nn.Module, backbone: str, n_copies: int = 1) -> Inventory:
    """An inventory of the one skill on the layers of `network`, yet to be installed.

    Args:
        backbone: the network's name, for the message.
        n_copies: how many times the skill is in it.

    Raises:
        InputError: the network lacks a site of the skill, or a tensor does not fit.
    """
    card = skill.card
    modules = dict(network.named_modules())
    missing = sorted(set(card.sites).difference(modules))
    if missing:
        raise InputError(
            f"The skill {card.name!r} sits on {missing[0]!r}, and the backbone {backbone!r} has no such layer "
            f"({len(missing)} of {len(card.sites)} sites are missing): is it the network that the skill was trained on?"
        )
    layers = {site: bare_layer(modules[site]) for site in card.sites}
    inventory = Inventory(layers, card.kind, n_copies, options_of(card), torch.Generator().manual_seed(0))
    for index in range(n_copies):
        inventory.load_skill(index, skill.modules)
    return inventory


def bare_layer(module: nn.Module) -> nn.Module:
    """The backbone's own layer where `module` is one, with skills on it or without."""
    return module.layer if isinstance(module, Site) else module
