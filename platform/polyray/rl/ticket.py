"""Lottery tickets: from densely trained skills to sparse ones."""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.modules.attach import Inventory
from polyray.modules.options import SkillOptions
from polyray.modules.sparse import SparseOptions
from polyray.rl.policy import ModularPolicy
from polyray.skills.spec import InventorySpec
from polyray.sparsity import keep_largest

DENSE, VALUES, SUPPORT = "/change.", "/values.", "/support_"  # between site and parameter in the names of tensors


@torch.no_grad()
def to_sparse(
    policy: ModularPolicy, density: float, before: Sequence[Mapping[str, Tensor]] | None = None
) -> ModularPolicy:
    """A copy of `policy` whose skills are sparse, each on the entries that its dense form changed most.

    A skill's support is, in every weight of every layer, the share `density` of entries with the largest |change| in
    training. Values are rewound to those before training, and biases carry no change (lottery tickets: Ansell et al.
    2022, section 3.1; Ponti et al. 2023, section 3.2). Backbone and routing are copied as they stand.

    Args:
        density: share of entries that a sparse skill may change, above 0 and at most 1.
        before: the tensors of each skill before training; None: they were zero.

    Raises:
        InputError: the skills are not dense.
    """
    if policy.inventory.kind != "dense":
        raise InputError(f"A lottery ticket is drawn from dense skills; these are {policy.inventory.kind}.")
    copy, options = deepcopy(policy), SparseOptions(density=density)
    dense = copy.inventory
    layers = {site: copy.network.get_submodule(f"{site}.layer") for site in dense.sites}
    sparse = Inventory(layers, "sparse", dense.n_skills, options, torch.Generator().manual_seed(0))
    parameter = next(dense.parameters())
    sparse = sparse.to(device=parameter.device, dtype=parameter.dtype)
    for index in range(dense.n_skills):
        trained = dense.skill(index)
        start = (
            {name: torch.zeros_like(tensor) for name, tensor in trained.items()} if before is None else before[index]
        )
        sparse.load_skill(index, ticket(sparse.skill(index), start, trained))
    sparse.install(copy.network)
    copy.set_inventory(sparse)
    modules = SkillOptions(kind="sparse", options=options, sites=copy.spec.modules.sites)
    copy.spec = InventorySpec(modules=modules, routing=copy.spec.routing)
    return copy


def ticket(
    sparse: Mapping[str, Tensor], start: Mapping[str, Tensor], trained: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Support and rewound values of a skill: the entries that training changed most, as they were before it.

    Args:
        sparse: any sparse skill for the same sites; it says how many entries of each weight to keep.
        start, trained: tensors of the dense skill before and after training.
    """
    tensors = {}
    for name, values in sparse.items():
        if VALUES in name:
            dense = name.replace(VALUES, DENSE)
            kept = keep_largest(trained[dense] - start[dense], values.shape[-1])
            tensors[name.replace(VALUES, SUPPORT)] = kept.flatten().nonzero().T  # [1, k], ascending
            tensors[name] = start[dense][kept][None]  # [1, k], in the same order
    return tensors
