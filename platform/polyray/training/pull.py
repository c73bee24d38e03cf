"""L1 regularisation towards the parameters from before a training."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

BLOCK = 1 << 18  # entries at a time, which stay in the cache


@torch.no_grad()
def pull(parameters: Sequence[nn.Parameter], start: Iterable[Tensor], strength: float) -> None:
    """Add the gradient of strength * sum |parameter - start| to the parameters' gradients, once a step.

    Ansell et al. 2022 (arXiv:2110.07560), section 3.1, divide the strength by the number of the network's parameters.

    Args:
        start: the parameters as they were, in the same order.
        strength: of the regularisation, from 0.
    """
    for parameter, before in zip(parameters, start, strict=True):
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        for now, then, gradient in zip(_blocks(parameter), _blocks(before), _blocks(parameter.grad), strict=True):
            gradient.add_((now - then).sign_(), alpha=strength)


def _blocks(tensor: Tensor) -> tuple[Tensor, ...]:
    """Views of a tensor's rows, some at a time."""
    rows = torch.atleast_1d(tensor.detach())
    blocks: tuple[Tensor, ...] = rows.split(max(1, BLOCK * len(rows) // max(1, rows.numel())))
    return blocks
