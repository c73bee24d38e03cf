"""Lottery tickets: from densely trained skills to sparse ones."""

from collections.abc import Mapping
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
def rewound(start: ModularPolicy, trained: ModularPolicy, density: float) -> ModularPolicy:
    """The policy `start` with sparse skills, each on the entries that training changed most (lottery tickets).

    A skill's support is, in every weight of every layer, the share `density` of entries with the largest |change| from
    `start` to `trained`. Values, backbone and routing are those from before the training, which only chooses; biases
    carry no change (Ansell et al. 2022, section 3.1; Ponti et al. 2023, section 3.2).

    Args:
        start, trained: the same policy, with dense skills, before and after training; neither is changed.
        density: share of entries that a sparse skill may change, above 0 and at most 1.

    Raises:
        InputError: the skills are not dense.
    """
    if start.inventory.kind != "dense":
        raise InputError(f"A lottery ticket is drawn from dense skills; these are {start.inventory.kind}.")
    policy, options = deepcopy(start), SparseOptions(density=density)
    dense = policy.inventory
    layers = {site: policy.network.get_submodule(f"{site}.layer") for site in dense.sites}
    sparse = Inventory(layers, "sparse", dense.n_skills, options, torch.Generator().manual_seed(0))
    parameter = next(dense.parameters())
    sparse = sparse.to(device=parameter.device, dtype=parameter.dtype)
    for index in range(dense.n_skills):
        sparse.load_skill(index, ticket(sparse.skill(index), dense.skill(index), trained.inventory.skill(index)))
    sparse.install(policy.network)
    policy.set_inventory(sparse)
    modules = SkillOptions(kind="sparse", options=options, sites=policy.spec.modules.sites)
    policy.spec = InventorySpec(modules=modules, routing=policy.spec.routing)
    return policy


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
            mask = keep_largest(trained[dense] - start[dense], values.shape[-1])
            tensors[name.replace(VALUES, SUPPORT)] = mask.flatten().nonzero().T  # [1, k], ascending
            tensors[name] = start[dense][mask][None]  # [1, k], in the same order
    return tensors
