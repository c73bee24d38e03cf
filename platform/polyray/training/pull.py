"""L1 regularisation towards the parameters from before a training."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


@torch.no_grad()
def pull(parameters: Sequence[nn.Parameter], start: Iterable[Tensor], strength: float) -> None:
    """Add the gradient of strength * sum |parameter - start| to the parameters' gradients, once a step.

    Ansell et al. 2022 (arXiv:2110.07560), section 3.1, divide the strength by the number of the network's parameters.

    Args:
        start: the parameters as they were, in the same order.
        strength: of the regularisation, from 0.
    """
    for parameter, before in zip(parameters, start, strict=True):
        direction = (parameter - before).sign_()
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad.add_(direction, alpha=strength)
