"""Squares of the gradients of batches, as the authors of elastic weight removal sum them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from polyray.fisher.estimate import asked_parameters
from polyray.modules.gradients import asking


class BatchSquares:
    """Sums over batches of the squared gradient of a batch's mean loss, over its number of examples.

    With labels drawn from the network it estimates the Fisher information times 1 / (B T)^2, for batches of B examples
    of T positions; gradients of different examples are multiplied with each other, which adds noise. It stands here
    because merges with the published coefficients depend on this scale (arXiv:2303.17574, the released code).

    Attributes:
        sums: by parameter, in fp32.
        n_squares: number of batches.
    """

    def __init__(self, network: nn.Module, names: Callable[[str], bool] = bool) -> None:
        """
        Args:
            names: whether to look at the parameter of this name; all of them unless given.

        Raises:
            InputError: there is no such parameter, or one is quantised.
        """
        self.network = network
        self.parameters = asked_parameters(network, names)
        self.sums = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in self.parameters.items()}
        self.n_squares = 0

    def add(self, loss: Callable[[], Tensor], size: int) -> None:
        """Add the square of the gradient of a batch's mean loss, a number, over its number of examples `size`."""
        with asking(self.network, self.parameters.values()):
            gradients = torch.autograd.grad(loss(), list(self.parameters.values()), allow_unused=True)
        for name, gradient in zip(self.parameters, gradients, strict=True):
            if gradient is not None:
                self.sums[name] += gradient**2 / size
        self.n_squares += 1
