"""The mask of a tensor's largest entries."""

import torch
from torch import Tensor

from polyray.sparsity.distances import Distances
from polyray.sparsity.largest import largest


def keep_largest(change: Tensor, k: int) -> Tensor:
    """Mask of the k entries of `change` furthest from zero.

    change [*shape] -> bool [*shape], exactly k true; ties go to the first entry.
    Ansell et al. 2022 (arXiv:2110.07560), section 3.1.

    Raises:
        ValueError: k is negative or more than there are entries, or an entry is not a number.
    """
    mask = torch.zeros(change.numel(), dtype=torch.bool, device=change.device)
    mask[largest(Distances({"change": change}), k)["change"]] = True
    return mask.view(change.shape)
