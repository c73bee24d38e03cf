"""From dense skills to sparse ones: the lottery ticket of every skill."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.modules.attach import Inventory
from polyray.modules.options import SkillOptions
from polyray.modules.sparse import SparseOptions, SparseStack
from polyray.rl.policy import ModularPolicy
from polyray.skills.spec import InventorySpec


@torch.no_grad()
def to_sparse(
    policy: ModularPolicy, density: float, before: Sequence[Mapping[str, Tensor]] | None = None
) -> ModularPolicy:
    """A copy of `policy` whose skills are sparse, each on the entries that its dense form changed most.

    before: the skills as they were before training, zero without it. The support of a skill is, in every weight of
    every layer, the share `density` of entries with the largest |change| since then; the first of equal ones. Values
    are rewound to those before training and biases carry no change (lottery tickets: Ansell et al. 2022, section 3.1;
    Ponti et al. 2023, section 3.2). Backbone and routing are copied as they stand.

    Raises:
        InputError: the skills are not dense, or the density does not lie above 0 and at most at 1.
    """
    if policy.inventory.kind != "dense":
        raise InputError(f"A lottery ticket is drawn from dense skills; these are {policy.inventory.kind}.")
    copy = deepcopy(policy)
    old = copy.inventory
    options = SparseOptions(density=density)
    layers = {site: copy.network.get_submodule(f"{site}.layer") for site in old.sites}
    new = Inventory(layers, "sparse", old.n_skills, options, torch.Generator().manual_seed(0))
    parameter = next(old.parameters())
    new = new.to(device=parameter.device, dtype=parameter.dtype)
    for skill in range(old.n_skills):
        now = old.skill(skill)
        first = {name: torch.zeros_like(tensor) for name, tensor in now.items()} if before is None else before[skill]
        for site, (number, index) in new.positions.items():
            stack = cast(SparseStack, new.stacks[number])
            for name in stack.shapes:
                k, own = stack.values[name].shape[-1], f"{site}/change.{name}"
                places = largest(now[own] - first[own], k)
                stack.set_support(index, skill, name, places)
                stack.values[name][index, 0, skill] = first[own].flatten()[places]
    new.install(copy.network)
    copy.set_inventory(new)
    modules = SkillOptions(kind="sparse", options=options, sites=copy.spec.modules.sites)
    copy.spec = InventorySpec(modules=modules, routing=copy.spec.routing)
    return copy


def largest(change: Tensor, k: int) -> Tensor:
    """The places of the k entries of the flattened `change` furthest from zero, ascending; the first of equal ones."""
    return change.flatten().abs().sort(descending=True, stable=True).indices[:k].sort().values
