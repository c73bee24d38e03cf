"""Layers that one stack can serve, and sums of skills, site by site."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyray.modules.layers import linear_widths

SkillTensors = dict[str, Tensor]


def alike(layers: Sequence[nn.Module]) -> list[list[int]]:
    """Indices of layers in groups that one stack can serve: same type, widths, parameter names and shapes."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, layer in enumerate(layers):
        shapes = tuple((name, tuple(p.shape)) for name, p in layer.named_parameters())
        groups.setdefault((type(layer), linear_widths(layer), shapes), []).append(index)
    return list(groups.values())


def weighted_sum(skills: Sequence[Mapping[str, Tensor]], sites: Sequence[str], weights: Tensor) -> SkillTensors:
    """The sum of skills, tensor by tensor: weights [sites or 1, heads, skills] -> tensors as `Inventory.skill` gives.

    The one function that computes it, so that a skill blended from others can be computed again bit for bit.
    """
    weights = weights.expand(len(sites), -1, -1)
    names: dict[str, list[str]] = {site: [] for site in sites}
    for name in skills[0]:
        names[name.rpartition("/")[0]].append(name)
    sums = {}
    for number, site in enumerate(sites):
        for name in names[site]:
            stacked = torch.stack([skill[name] for skill in skills], 1)  # [heads, skills, *shape]
            flat = stacked.flatten(2)
            heads = weights[number].expand(flat.shape[0], -1).unsqueeze(1).to(flat)
            sums[name] = torch.bmm(heads, flat)[:, 0].view(stacked.shape[0], *stacked.shape[2:])
    return sums
