"""Selection of the entries of a tensor that a sparse change keeps."""

import torch
from torch import Tensor


def keep_largest(change: Tensor, k: int) -> Tensor:
    """Mask of the k entries of `change` furthest from zero.

    change [*shape] -> bool [*shape], exactly k true; ties go to the first entry.
    Ansell et al. 2022 (arXiv:2110.07560), section 3.1.

    Raises:
        ValueError: k is negative or more than there are entries, or an entry is not a number.
    """
    if not 0 <= k <= change.numel():
        raise ValueError(f"keep_largest: k must lie between 0 and the {change.numel()} entries, found {k}.")
    if bool(change.isnan().any()):
        raise ValueError("keep_largest: an entry is NaN, which is neither near to zero nor far from it.")
    largest = change.flatten().abs().sort(descending=True, stable=True).indices[:k]
    mask = torch.zeros(change.numel(), dtype=torch.bool, device=change.device)
    mask[largest] = True
    return mask.view(change.shape)
