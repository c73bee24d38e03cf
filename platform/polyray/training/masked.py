"""Training of chosen entries by masks on whole gradients: the version to read beside `polyray.training.entries`."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


def masks_of(network: nn.Module, entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Masks of chosen entries, in the shapes of their parameters: flat indices by parameter -> bool."""
    masks = {name: torch.zeros_like(network.get_parameter(name), dtype=torch.bool) for name in entries}
    for name, indices in entries.items():
        masks[name].view(-1)[indices] = True
    return masks


def mask_gradients(network: nn.Module, masks: Mapping[str, Tensor], dense: Sequence[str] = ()) -> None:
    """Set the gradients of entries that are not chosen to 0, after a backward pass.

    The optimiser must have no weight decay, which would change them.

    Args:
        dense: names of parameters that are trained whole.
    """
    for name, parameter in network.named_parameters():
        if parameter.grad is not None and name not in dense:
            mask = masks.get(name)
            parameter.grad *= 0 if mask is None else mask
