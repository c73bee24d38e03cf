"""Lottery tickets of modules: sparse skills on the entries that a training of dense ones changed most."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.modules.attach import Inventory
from polyray.modules.sparse import SparseOptions
from polyray.sparsity import keep_largest

DENSE, VALUES, SUPPORT = "/change.", "/values.", "/support_"  # between site and parameter in the names of tensors
SkillTensors = Mapping[str, Tensor]


@torch.no_grad()
def sparse_inventory(
    dense: Inventory, start: Sequence[SkillTensors], trained: Sequence[SkillTensors], options: SparseOptions
) -> Inventory:
    """Sparse skills for the sites of a dense inventory, not yet on the backbone, with the values from the start.

    A skill's support is, in every weight of every layer, the share `options.density` of entries that training changed
    most (Ansell et al. 2022, section 3.1; Ponti et al. 2023, section 3.2); biases carry no change.

    Args:
        start, trained: tensors of each dense skill before and after training.

    Raises:
        InputError: the skills are not dense.
    """
    if dense.kind != "dense":
        raise InputError(f"A lottery ticket is drawn from dense skills; these are {dense.kind}.")
    sparse = Inventory(dense.layers, "sparse", dense.n_skills, options, torch.Generator().manual_seed(0))
    parameter = next(dense.parameters())
    sparse = sparse.to(device=parameter.device, dtype=parameter.dtype)
    for index in range(dense.n_skills):
        sparse.load_skill(index, ticket(sparse.skill(index), start[index], trained[index]))
    return sparse


def ticket(sparse: SkillTensors, start: SkillTensors, trained: SkillTensors) -> dict[str, Tensor]:
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
