"""Putting an inventory of skills on a backbone, and taking skills off again."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.modules.grouping import SkillTensors, alike, weighted_sum
from polyray.modules.kinds import MODULES, needs_whole_weights
from polyray.modules.layers import is_quantised
from polyray.modules.matching import match
from polyray.modules.mix import Mix, TokenMix
from polyray.modules.occupant import Occupant, Slot
from polyray.modules.site import Site
from polyray.modules.stack import Stack, StackOptions


class Inventory(nn.Module):
    """All skills on all sites of one backbone.

    Attributes:
        kind: key of MODULES.
        options: of its modules.
        n_skills: number of skills, S.
        sites: the names of the backbone's layers that carry skills, in the backbone's order; a router's weights
            [sites, heads, rows, skills] follow it.
        stacks: the modules, one stack for each group of alike layers.
        stack_sites: for each stack the indices of its sites.
        positions: for each site its stack and its index there.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        kind: str,
        n_skills: int,
        options: StackOptions,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if n_skills < 1:
            raise InputError(f"An inventory needs at least one skill, found routing.n_skills={n_skills}.")
        self.kind, self.options, self.n_skills = kind, options, n_skills
        self.entry = lookup(MODULES, kind, "module kind")
        self.sites = tuple(layers)
        self.slot = Slot()
        modules = list(layers.values())
        if self.entry.reads_weights and any(map(is_quantised, modules)):
            raise needs_whole_weights(kind)
        self.stack_sites = alike(modules)
        self.stacks = nn.ModuleList(
            cast(nn.Module, self.entry([modules[site] for site in sites], n_skills, options, generator))
            for sites in self.stack_sites
        )
        self.positions = {
            self.sites[site]: (stack, index)
            for stack, sites in enumerate(self.stack_sites)
            for index, site in enumerate(sites)
        }
        self._layers = (dict(layers),)  # in a tuple: the backbone owns its layers

    @property
    def layers(self) -> dict[str, nn.Module]:
        """The backbone's own layer at each site."""
        return self._layers[0]

    @property
    def n_heads(self) -> int:
        """Heads of multi-head routing."""
        return self.options.n_heads

    def set_mix(self, mix: Mix | TokenMix | Tensor) -> None:
        """Let the sites use `mix` until the block of `mixing` ends.

        Raises:
            InputError: the mix has another number of sites, heads or skills, or is one of tokens, which modules of
                this kind cannot mix.
        """
        self.slot.clear()
        if isinstance(mix, TokenMix):
            if not self.entry.by_token:
                able = ", ".join(name for name, entry in MODULES.items() if entry.by_token)
                raise InputError(f"routing.kind=token_moe needs modules.kind={able}; found {self.kind}.")
            self.slot.tokens = mix
            return
        mix = Mix.of(mix) if isinstance(mix, Tensor) else mix
        sites, heads, _, skills = mix.weights.shape
        if sites not in (1, len(self.sites)) or heads not in (1, self.n_heads) or skills != self.n_skills:
            raise InputError(
                f"A mix for {sites} sites, {heads} heads, {skills} skills does not fit an inventory of "
                f"{len(self.sites)} sites, {self.n_heads} heads, {self.n_skills} skills."
            )
        with torch.autocast(mix.weights.device.type, enabled=False):  # skills are mixed in their own precision
            self._prepare(mix.weights.expand(len(self.sites), self.n_heads, -1, -1))
        self.slot.rows = mix.rows

    def _prepare(self, weights: Tensor) -> None:
        """Fill the slot with the modules mixed with weights [sites, heads, rows, skills]."""
        for stack, sites in zip(self.stacks, self.stack_sites, strict=True):
            of_stack = weights if len(sites) == len(self.sites) else weights[sites]
            for site, mixed in zip(sites, cast(Stack, stack).prepare(of_stack), strict=True):
                self.slot.mixed[self.sites[site]] = mixed

    def skill(self, index: int) -> SkillTensors:
        """A copy of one skill's tensors, named SITE/PARAMETER, each [heads, *shape]."""
        return {name: tensor[:, index].clone().contiguous() for name, tensor in self._tensors().items()}

    def blend(self, weights: Tensor) -> SkillTensors:
        """The one skill that a mix amounts to: weights [sites or 1, heads, skills] -> tensors as `skill` gives them.

        Raises:
            InputError: modules of this kind do not add up to one module (bottlenecks, sparse with own supports).
        """
        if not self.entry.blends:
            blending = ", ".join(sorted(name for name, entry in MODULES.items() if entry.blends))
            raise InputError(f"A mix of {self.kind} modules is no single module; only {blending} blend into one.")
        skills = [self.skill(index) for index in range(self.n_skills)]
        return weighted_sum(skills, self.sites, weights.detach())

    def load_skill(self, index: int, tensors: Mapping[str, Tensor]) -> None:
        """Overwrite one skill with tensors that `skill` gave.

        Raises:
            InputError: a tensor is missing, left over, of another shape, or of another kind of number.
        """
        all_skills = self._tensors()
        if set(all_skills) != set(tensors):
            odd = sorted(set(all_skills) ^ set(tensors))
            raise InputError(f"The skill does not fit this inventory: {len(odd)} tensors differ, first {odd[0]!r}.")
        targets = {name: tensor[:, index] for name, tensor in all_skills.items()}
        for name, target in targets.items():
            if tensors[name].shape != target.shape:
                raise InputError(
                    f"{name} has the shape {list(tensors[name].shape)}; this inventory's is {list(target.shape)}."
                )
            if not _alike_types(tensors[name].dtype, target.dtype):
                raise InputError(f"{name} is of the type {tensors[name].dtype}; this inventory's is {target.dtype}.")
        for name, target in targets.items():
            target.copy_(tensors[name].detach())

    def _tensors(self) -> SkillTensors:
        """All skills' tensors [heads, skills, *shape] by SITE/PARAMETER; writing into them changes the skills."""
        states: list[dict[str, Any]] = [stack.state_dict() for stack in self.stacks]
        return {
            f"{site}/{name}": tensor[index]
            for site, (stack, index) in self.positions.items()
            for name, tensor in states[stack].items()
        }

    def fresh(self, n_skills: int, generator: torch.Generator) -> "Inventory":
        """An inventory of the same form on the same sites with newly drawn skills, not yet on the backbone."""
        return Inventory(self.layers, self.kind, n_skills, self.options, generator)

    def keep_in_force(self) -> None:
        """Let every example use the one skill from now on, without a block of `mixing`; its tensors are frozen.

        Raises:
            InputError: the inventory has several skills.
        """
        if self.n_skills != 1:
            raise InputError(f"One skill can be kept in force, and the inventory has {self.n_skills}.")
        self.requires_grad_(False)
        self.set_mix(torch.ones(1, 1, device=next(self.parameters()).device))
        self.slot.opened, self.slot.constant = True, True

    def install(self, backbone: nn.Module, *, on_top: bool = False) -> None:
        """Let the sites of `backbone` use this inventory.

        Args:
            on_top: whether it joins all that sit there; else it takes the place of those that are not kept in force.
        """
        self.put_sites(backbone, self.slot, self.stacks, on_top=on_top)

    def put_sites(self, backbone: nn.Module, slot: Slot, stacks: nn.ModuleList, *, on_top: bool = False) -> None:
        """Put a site on each layer of this inventory, whose modules are in `stacks`, in the order of its own.

        Raises:
            InputError: modules of this kind cannot share a layer with others that sit there.
        """
        sites = {}
        for name, layer in self.layers.items():
            site = backbone.get_submodule(name)
            below = site.occupants if isinstance(site, Site) else ()
            below = tuple(occupant for occupant in below if on_top or occupant.slot.constant)
            stack, index = self.positions[name]
            occupant = Occupant(name, slot, cast(Stack, stacks[stack]), index)
            if below and not all(other.stack.stacks for other in (*below, occupant)):
                raise InputError(f"{self.kind} modules cannot share the layer {name!r} with the skill that sits there.")
            sites[name] = Site(layer, name, (*below, occupant))
        for name, site in sites.items():
            parent, last = parent_of(backbone, name)
            parent.register_module(last, site)


def _alike_types(first: torch.dtype, second: torch.dtype) -> bool:
    """Whether both are floating-point, or the same."""
    return first == second or (first.is_floating_point and second.is_floating_point)


def attach(
    backbone: nn.Module,
    sites: Sequence[str],
    kind: str,
    n_skills: int,
    options: StackOptions,
    generator: torch.Generator,
    *,
    on_top: bool = False,
) -> Inventory:
    """Put an inventory of fresh skills on the layers of `backbone` that `sites` names, and freeze nothing.

    Args:
        sites: patterns of layer names; a pattern matches a whole name or the end of one after a dot, `*` is anything.
        on_top: whether the skills join others that sit on these layers: changes of a layer's weights are added up, and
            modules that change its output act one after the other, in the order in which they were attached.

    Raises:
        InputError: a pattern matches nothing, a matched layer cannot carry skills, or skills sit there already, and
            these are not to join them or cannot.
    """
    layers = {name: backbone.get_submodule(name) for name in match(backbone, sites)}
    taken = [name for name, layer in layers.items() if isinstance(layer, Site)]
    if taken and not on_top:
        raise InputError(f"Site {taken[0]!r} carries skills already: detach them first, or attach with on_top=True.")
    bare = {name: layer.layer if isinstance(layer, Site) else layer for name, layer in layers.items()}
    inventory = Inventory(bare, kind, n_skills, options, generator)
    inventory.install(backbone, on_top=on_top)
    return inventory


def detach(backbone: nn.Module, inventory: Inventory) -> None:
    """Take the inventory's modules off; layers that carry no others stand where they stood. It keeps its skills."""
    for name, layer in inventory.layers.items():
        site = backbone.get_submodule(name)
        others = site.occupants if isinstance(site, Site) else ()
        others = tuple(occupant for occupant in others if occupant.slot is not inventory.slot)
        parent, last = parent_of(backbone, name)
        parent.register_module(last, Site(layer, name, others) if others else layer)


def parent_of(backbone: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The parent of the submodule `name`, and its name there."""
    parent, _, last = name.rpartition(".")
    return backbone.get_submodule(parent), last
