"""One parameter for all alike sites, and its gradient, which they write side by side.

By itself autograd would make a gradient for each site and copy them all into one. A parameter for each site would not
need the copy, but the optimiser, clipping and DDP handle a few large tensors faster than hundreds of small ones.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class StackedGradient:
    """The gradient of a parameter [sites, *shape] in the making."""

    def __init__(self, parameter: Tensor) -> None:
        self._parameter = parameter
        self._whole: Tensor | None = None
        self._taken: set[int] = set()

    def piece(self, site: int) -> Tensor | None:
        """Where the gradient of `site` belongs; None once it was asked for, as when a layer runs twice in a pass."""
        if self._whole is None:
            self._whole = torch.empty_like(self._parameter)
        if site in self._taken:
            return None
        self._taken.add(site)
        return self._whole[site]

    def whole(self, pieces: Sequence[Tensor | None]) -> Tensor:
        """The gradient from those of all sites: what lies in its place stays, the rest is copied there."""
        found = torch.empty_like(self._parameter) if self._whole is None else self._whole
        self._whole, self._taken = None, set()
        for own, given in zip(found, pieces, strict=True):
            if given is None:
                own.zero_()
            elif given.data_ptr() != own.data_ptr():
                own.copy_(given)
        return found


def apart(parameter: Tensor) -> tuple[Sequence[Tensor], StackedGradient]:
    """The parts of `parameter` [sites, *shape] and what gathers their gradients."""
    gathered = StackedGradient(parameter)
    return _Apart.apply(parameter, gathered), gathered


class _Apart(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parameter: Tensor, gathered: StackedGradient) -> tuple[Tensor, ...]:
        ctx.gathered = gathered
        ctx.set_materialize_grads(False)
        return parameter.unbind(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor | None) -> tuple[Tensor, None]:
        return ctx.gathered.whole(gs), None
