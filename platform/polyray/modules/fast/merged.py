"""A backbone's parameters with the skills of a mix in them, for backbones that compute with parameters they are given.

Sites compose skills into one layer's output, for one batch. An agent's network groups its inputs in more than one way
(frames, tiles, missions) and wants the weights themselves, once: name -> [rows, *shape].
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from polyray.modules.attach import Inventory
from polyray.modules.layers import total
from polyray.modules.site import Stack, no_changes


class Merger:
    """Merges the skills of `inventory` into the parameters of `backbone`, on which it sits.

    Raises:
        InputError: modules of this kind change outputs, not parameters.
    """

    def __init__(self, backbone: nn.Module, inventory: Inventory) -> None:
        self._inventory = inventory
        self._layers = {site: cast(nn.Module, backbone.get_submodule(site).layer) for site in inventory.sites}
        inner = {f"{site}.layer.": f"{site}." for site in inventory.sites}
        self._plain = {}
        for name, parameter in backbone.named_parameters():
            prefix = next((prefix for prefix in inner if name.startswith(prefix)), "")
            self._plain[inner.get(prefix, "") + name.removeprefix(prefix)] = parameter
        if not inventory.entry.changes_weights:
            raise no_changes(inventory.kind)

    def __call__(self, weights: Tensor) -> dict[str, Tensor]:
        """All parameters for the rows of a mix, by their names without skills.

        weights [sites or 1, heads, rows, skills] -> [rows, *shape], or [1, *shape] where no skill changes a parameter.
        """
        inventory = self._inventory
        weights = weights.expand(len(inventory.sites), inventory.n_heads, -1, -1)
        found = {name: parameter.unsqueeze(0) for name, parameter in self._plain.items()}
        sums: list[tuple[str, int, int]] = []  # name, site and number of its stack's tensor
        tensors: list[Tensor] = []
        for stack, places in zip(inventory.stacks, inventory.places, strict=True):
            additions = cast(Stack, stack).additions()
            if additions is None:
                found.update(self._changed(cast(Stack, stack), [inventory.sites[i] for i in places], weights[places]))
                continue
            for name, skills in additions.items():
                sums += [(f"{inventory.sites[i]}.{name}", i, len(tensors)) for i in places]
                tensors.append(skills)
        if sums:
            names, sites, stacks = zip(*sums, strict=True)
            wholes = _AddSkills.apply(weights[:, 0], sites, stacks, *tensors, *(self._plain[name] for name in names))
            found.update(zip(names, wholes, strict=True))
        return found

    def _changed(self, stack: Stack, sites: list[str], weights: Tensor) -> dict[str, Tensor]:
        """The parameters that alike sites change, each with its change for every row."""
        layers = [self._layers[site] for site in sites]
        return {
            f"{site}.{name}": total(layer.get_parameter(name), changes, name)
            for site, layer, changes in zip(sites, layers, stack.changes(layers, weights), strict=True)
            for name in changes
        }


class _AddSkills(torch.autograd.Function):
    """parameter + sum_s w_s skill_s for many parameters in one step: each row is written once, read once a gradient."""

    @staticmethod
    def forward(
        ctx: Any, weights: Tensor, sites: tuple[int, ...], stacks: tuple[int, ...], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        n = max(stacks) + 1
        ctx.save_for_backward(weights, *tensors[:n])
        ctx.sites, ctx.stacks = sites, stacks
        ctx.shapes = [parameter.shape for parameter in tensors[n:]]
        wholes, seen = [], [0] * n
        for site, stack, parameter in zip(sites, stacks, tensors[n:], strict=True):
            skills = tensors[stack][seen[stack]]
            seen[stack] += 1
            whole = torch.addmm(parameter.reshape(1, -1), weights[site].to(skills.dtype), skills)
            wholes.append(whole.view(-1, *parameter.shape))
        return tuple(wholes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor | None, ...]:
        weights, *tensors = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        n = len(tensors)
        g_weights = torch.zeros_like(weights)
        g_tensors = [torch.empty_like(skills) for skills in tensors]
        g_parameters: list[Tensor | None] = []
        seen = [0] * n
        for number, (site, stack, g) in enumerate(zip(ctx.sites, ctx.stacks, gs, strict=True)):
            place, flat, own = seen[stack], g.reshape(len(g), -1), weights[site].to(g.dtype)
            seen[stack] += 1
            if wanted[0]:
                g_weights[site] += flat @ tensors[stack][place].mT
            torch.mm(own.mT, flat, out=g_tensors[stack][place])
            g_parameters.append(flat.sum(0).view(ctx.shapes[number]) if wanted[3 + n + number] else None)
        return (g_weights if wanted[0] else None), None, None, *g_tensors, *g_parameters
