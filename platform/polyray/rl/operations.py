"""What the network's layers do when every row has weights of its own."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

Weights = Mapping[str, Tensor]  # parameter name -> [rows or 1, *shape]


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x [rows or 1, n, in], weight [rows or 1, out, in], bias [rows or 1, out] -> [rows, n, out]."""
    if len(weight) == 1 == len(bias):
        return functional.linear(x, weight[0], bias[0])
    rows = max(len(x), len(weight), len(bias))
    return torch.baddbmm(bias.unsqueeze(1).expand(rows, 1, -1), x.expand(rows, -1, -1), weight.mT.expand(rows, -1, -1))


def convolution(x: Tensor, weights: Weights, name: str) -> Tensor:
    """A convolution that keeps the map's size: x [rows, n, h, w, in] -> [rows, n, h, w, out]."""
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    if weight.shape[-1] == 1:
        return affine(x.flatten(1, 3), weight.flatten(2), bias).view(*x.shape[:-1], -1)
    rows = len(x) if len(weight) > 1 or len(bias) > 1 else 1
    parts = x.flatten(0, 1).unflatten(0, (rows, -1)).movedim(-1, 2)  # [rows, n, in, h, w], channels last in memory
    weight, bias = weight.expand(rows, *weight.shape[1:]), bias.expand(rows, -1)
    found = [functional.conv2d(*row, padding=1).movedim(1, -1) for row in zip(parts, weight, bias, strict=True)]
    return torch.stack(found).view(*x.shape[:-1], -1) if rows > 1 else found[0].reshape(*x.shape[:-1], -1)


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    """x [rows, n, h, w, channels], normalised over all rows together."""
    if isinstance(norm, nn.Identity):
        return x
    normed: Tensor = norm(x.flatten(0, 1).movedim(-1, 1))
    return normed.movedim(1, -1).reshape(x.shape)


def alike(parts: list[Tensor]) -> list[Tensor]:
    """Tensors [rows or 1, ...] with equally many rows."""
    rows = max(len(part) for part in parts)
    return [part.expand(rows, *part.shape[1:]) for part in parts]


def _group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(math.gcd(channels, 8), channels)


def _no_norm(channels: int) -> nn.Module:
    return nn.Identity()


NORMS: Mapping[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "group": _group_norm, "none": _no_norm}
"""Channels -> a normalisation of maps [n, channels, h, w]."""
