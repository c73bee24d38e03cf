"""Selection by a sort of one flat copy of everything: the version to read beside `polyray.sparsity.largest`."""

import torch
from torch import Tensor

from polyray.sparsity.distances import Distances


def largest_plainly(distances: Distances, k: int) -> dict[str, Tensor]:
    """Ascending flat indices of the k entries furthest from the origin, by tensor; ties go to the first entry.

    k lies between 0 and the number of entries, none of which is NaN.
    """
    flat = {name: distances.whole(name).abs().flatten() for name in distances.tensors}
    order = torch.cat(list(flat.values())).sort(descending=True, stable=True).indices
    mask = torch.zeros_like(order, dtype=torch.bool)
    mask[order[:k]] = True
    masks = mask.split([len(x) for x in flat.values()])
    return {name: mask.nonzero().flatten() for name, mask in zip(flat, masks, strict=True)}
