"""The weighted mean over skills of one tensor per site, for all sites in one step of autograd."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def mean(weights: Tensor, parameters: Sequence[Tensor], dim: int) -> Sequence[Tensor]:
    """sum_s w_s parameter_s at every site.

    weights [sites, heads, rows, skills], each parameter [heads, skills, a, b] -> each [rows, a, b], the heads joined
    along `dim` (1 or 2).
    """
    heads, _, a, b = parameters[0].shape
    if heads == 1:
        flat: tuple[Tensor, ...] = _Means.apply(weights[:, 0], *parameters)
        return [tensor.view(-1, a, b) for tensor in flat]
    joined = []
    for own, parameter in zip(weights.to(parameters[0].dtype).unbind(0), parameters, strict=True):
        apart = torch.bmm(own, parameter.flatten(2)).view(heads, -1, a, b)
        joined.append(torch.cat(apart.unbind(0), dim))
    return joined


class _Means(torch.autograd.Function):
    """Site by site: products that stay small reuse memory; one over all sites would touch fresh pages every step."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        rows = weights.to(parameters[0].dtype)
        ctx.save_for_backward(rows, *parameters)
        ctx.dtype = weights.dtype
        return tuple(
            torch.mm(rows[site], parameter.view(rows.shape[-1], -1)) for site, parameter in enumerate(parameters)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor | None, ...]:
        rows, *parameters = ctx.saved_tensors
        of_weights, *of_parameters = ctx.needs_input_grad
        g_rows: list[Tensor] = []
        g_parameters: list[Tensor | None] = []
        for own, g, parameter, wanted in zip(rows, gs, parameters, of_parameters, strict=True):
            g_parameters.append(torch.mm(own.mT, g).view_as(parameter) if wanted else None)
            if of_weights:  # right after, while g is in the cache
                g_rows.append(torch.mm(g, parameter.view(rows.shape[-1], -1).mT))
        return torch.stack(g_rows).to(ctx.dtype) if of_weights else None, *g_parameters
