"""Which parameters gradients are asked of."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def asking(network: nn.Module, parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Within the block gradients are asked of these parameters of `network` alone; then of those from before."""
    before = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    chosen = {id(parameter) for parameter in parameters}
    try:
        for parameter, _ in before:
            parameter.requires_grad_(id(parameter) in chosen)
        yield
    finally:
        for parameter, requires_grad in before:
            parameter.requires_grad_(requires_grad)
