"""Diagonal Fisher information by one backward pass an example: the version to read."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn


def fisher_plainly(parameters: Mapping[str, nn.Parameter], losses: Sequence[Callable[[], Tensor]]) -> dict[str, Tensor]:
    """Sum over examples of the squared gradients: f = sum_n (d loss_n / d theta)^2, by name.

    Args:
        losses: for each example the function that computes its loss [1], a negative log-likelihood.
    """
    fisher = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for loss in losses:
        gradients = torch.autograd.grad(loss().sum(), list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                fisher[name] += gradient.detach().square()
    return fisher
