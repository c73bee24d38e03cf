"""Lottery tickets of agents: from densely trained skills to sparse ones."""

from copy import deepcopy

import torch

from polyray.modules.options import SkillOptions
from polyray.modules.sparse import SparseOptions
from polyray.modules.tickets import sparse_inventory
from polyray.rl.policy import ModularPolicy
from polyray.skills.spec import InventorySpec


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
    before, after = ([x.skill(n) for n in range(x.n_skills)] for x in (start.inventory, trained.inventory))
    policy, options = deepcopy(start), SparseOptions(density=density)
    sparse = sparse_inventory(policy.inventory, before, after, options)
    sparse.install(policy.network)
    policy.set_inventory(sparse)
    modules = SkillOptions(kind="sparse", options=options, sites=policy.spec.modules.sites)
    policy.spec = InventorySpec(modules=modules, routing=policy.spec.routing)
    return policy
