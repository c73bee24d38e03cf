"""Putting an inventory of skills on a backbone, and taking skills off again."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.modules.kinds import MODULES
from polyray.modules.matching import match
from polyray.modules.mix import Mix, TokenMix
from polyray.modules.site import Site, Slot, Stack, StackOptions, alike, find

SkillTensors = dict[str, Tensor]


class Inventory(nn.Module):
    """All skills on all sites of one backbone.

    Attributes:
        kind: key of MODULES. options: what its modules look like. n_skills: how many.
        sites: the names of the backbone's layers that carry them, in the backbone's order; a router's weights
            [sites, heads, rows, skills] follow it.
        shared: groups of linear sites that read one input (q, k, v of an attention), computed together where it pays.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        kind: str,
        n_skills: int,
        options: StackOptions,
        generator: torch.Generator,
        shared: Sequence[Sequence[str]] = (),
    ) -> None:
        super().__init__()
        if n_skills < 1:
            raise InputError(f"An inventory needs at least one skill, found routing.n_skills={n_skills}.")
        self.kind, self.options, self.n_skills = kind, options, n_skills
        self.entry = lookup(MODULES, kind, "module kind")
        self.sites = tuple(layers)
        self.shared = tuple(tuple(group) for group in shared)
        self.slot = Slot()
        modules = list(layers.values())
        self.places = list(alike(modules).values())
        self.stacks = nn.ModuleList(
            cast(nn.Module, self.entry([modules[place] for place in places], n_skills, options, generator))
            for places in self.places
        )
        self.home = {
            self.sites[place]: (stack, index)
            for stack, places in enumerate(self.places)
            for index, place in enumerate(places)
        }
        self._layers = (dict(layers),)  # in a tuple: the backbone owns its layers

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of each site's input, 0 where the layer is not linear."""
        layers = self._layers[0].values()
        return tuple(layer.in_features if isinstance(layer, nn.Linear) else 0 for layer in layers)

    @property
    def n_heads(self) -> int:
        """Heads of multi-head routing."""
        return self.options.n_heads

    def set_mix(self, mix: Mix | TokenMix | Tensor) -> None:
        """Let the sites use `mix` until the block of `mixing` ends.

        Raises:
            InputError: the mix has another number of sites, heads or skills.
        """
        self.slot.clear()
        if isinstance(mix, TokenMix):
            self.slot.tokens = mix
            return
        mix = Mix.of(mix) if isinstance(mix, Tensor) else mix
        sites, heads, _, skills = mix.weights.shape
        if sites not in (1, len(self.sites)) or heads not in (1, self.n_heads) or skills != self.n_skills:
            raise InputError(
                f"A mix for {sites} sites, {heads} heads, {skills} skills does not fit an inventory of "
                f"{len(self.sites)} sites, {self.n_heads} heads, {self.n_skills} skills."
            )
        weights = mix.weights.expand(len(self.sites), self.n_heads, -1, -1)
        for stack, places in zip(self.stacks, self.places, strict=True):
            own = weights if len(places) == len(self.sites) else weights[places]
            for place, mixed in zip(places, cast(Stack, stack).prepare(own), strict=True):
                self.slot.mixed[self.sites[place]] = mixed
        for group in self.shared:
            layers, prepared = [self._layers[0][site] for site in group], [self.slot.mixed[site] for site in group]
            self.slot.mixed.update(zip(group, self.entry.share(layers, prepared), strict=True))
        self.slot.rows = mix.rows

    def skill(self, index: int) -> SkillTensors:
        """A copy of one skill's tensors, named SITE/PARAMETER, each [heads, *shape]."""
        tensors = {}
        for site, (stack, place) in self.home.items():
            for name, tensor in self._stack(stack).parts(place).items():
                tensors[f"{site}/{name}"] = tensor[:, index].detach().clone().contiguous()
        return tensors

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
            InputError: a tensor is missing, left over or of another shape.
        """
        expected = self.skill(index)
        if set(expected) != set(tensors):
            odd = sorted(set(expected) ^ set(tensors))
            raise InputError(f"The skill does not fit this inventory: {len(odd)} tensors differ, first {odd[0]!r}.")
        for site, (stack, place) in self.home.items():
            for name, tensor in self._stack(stack).parts(place).items():
                given, own = tensors[f"{site}/{name}"], tensor.detach()[:, index]
                if given.shape != own.shape:
                    raise InputError(
                        f"{site}/{name} has the shape {list(given.shape)}; this inventory's is {list(own.shape)}."
                    )
                own.copy_(given)

    def _stack(self, stack: int) -> Stack:
        return cast(Stack, self.stacks[stack])

    def fresh(self, n_skills: int, generator: torch.Generator) -> "Inventory":
        """An inventory of the same form on the same sites with newly drawn skills, not yet on the backbone."""
        return Inventory(self._layers[0], self.kind, n_skills, self.options, generator, self.shared)

    def install(self, backbone: nn.Module) -> None:
        """Let the sites of `backbone` use this inventory in place of the one that they had, if any."""
        for name, layer in self._layers[0].items():
            stack, place = self.home[name]
            parent, last = find(backbone, name)
            parent.register_module(last, Site(layer, name, self.slot, (self._stack(stack), place)))


def weighted_sum(skills: Sequence[Mapping[str, Tensor]], sites: Sequence[str], weights: Tensor) -> SkillTensors:
    """The sum of skills, tensor by tensor: weights [sites or 1, heads, skills] -> tensors as `Inventory.skill` gives.

    The one place that computes it, so that a skill blended from others can be computed again bit for bit.
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


def attach(
    backbone: nn.Module,
    sites: Sequence[str],
    kind: str,
    n_skills: int,
    options: StackOptions,
    generator: torch.Generator,
    shared_inputs: Sequence[tuple[str, Sequence[str]]] = (),
) -> Inventory:
    """Put an inventory of fresh skills on the layers of `backbone` that `sites` names, and freeze nothing.

    sites: patterns of layer names; a pattern matches a whole name or the end of one after a dot, `*` is anything.
    shared_inputs: (parent, children): sites of these names under a parent of that name read the same tensor.

    Raises:
        InputError: a pattern matches nothing, a matched layer cannot carry skills, or skills sit there already.
    """
    layers = {name: backbone.get_submodule(name) for name in match(backbone, sites)}
    taken = [name for name, layer in layers.items() if isinstance(layer, Site)]
    if taken:
        raise InputError(f"Site {taken[0]!r} carries skills already: detach them first.")
    shared = _shared(layers, shared_inputs)
    inventory = Inventory(layers, kind, n_skills, options, generator, shared)
    inventory.install(backbone)
    return inventory


def _shared(layers: Mapping[str, nn.Module], known: Sequence[tuple[str, Sequence[str]]]) -> list[list[str]]:
    groups = []
    for parent in dict.fromkeys(name.rpartition(".")[0] for name in layers):
        for last, children in known:
            members = [
                f"{parent}.{child}" for child in children if isinstance(layers.get(f"{parent}.{child}"), nn.Linear)
            ]
            if parent.rpartition(".")[2] == last and len(members) > 1:
                groups.append(members)
    return groups


def detach(backbone: nn.Module, inventory: Inventory) -> None:
    """Put the layers back where they stood; the inventory keeps its skills."""
    for name, layer in inventory._layers[0].items():
        parent, last = find(backbone, name)
        parent.register_module(last, layer)
