"""Interpolation of models along spheres."""

import torch
from pydantic import Field
from torch import Tensor

from polyray.config import Section
from polyray.errors import InputError
from polyray.merging.linear import total_weight
from polyray.merging.operands import Operands

PARALLEL = 0.9995  # cosine from which two tensors are interpolated along a line
SMALL = 1e-8


class SlerpOptions(Section):
    """The choices of spherical interpolation of two models."""

    t: float = Field(0.5, ge=0, le=1)
    """Distance on the way from the base, 0, to the part, 1."""


class MultiSlerpOptions(Section):
    """The choices of spherical interpolation of any number of models."""


def slerp(operands: Operands, options: SlerpOptions) -> Tensor:
    """The point at `t` on the arc from the base to the one part, the tensors seen as vectors (Shoemake 1985).

    Nearly parallel ones are interpolated along a line.

    Raises:
        InputError: there is no base, or not one part.
    """
    start = operands.start
    if len(operands.parts) != 1:
        raise InputError(f"slerp goes from the base to one part, found {len(operands.parts)}: use multislerp for more.")
    end, t = operands.parts[0].tensor, options.t
    cosine = (_unit(start) * _unit(end)).sum()
    angle = torch.arccos(cosine.clamp(-1, 1))
    sine = torch.sin(angle)
    line = (1 - t) * start + t * end
    if cosine.abs() > PARALLEL:
        return line
    return torch.sin((1 - t) * angle) / sine * start + torch.sin(t * angle) / sine * end


def multislerp(operands: Operands, options: MultiSlerpOptions) -> Tensor:
    """The weighted mean on the sphere of the parts' directions, in the tangent space at their mean direction.

    Its length is the mean of the parts' lengths. With a base, of the task vectors. (Goddard 2024, "Multi-SLERP".)

    Raises:
        InputError: the weights add up to 0, or the weighted directions do.
    """
    vectors = operands.tensors if operands.base is None else operands.changes()
    flat = vectors.reshape(len(vectors), -1)
    weights = operands.weights.view(-1, 1) / total_weight(operands)
    lengths = flat.norm(dim=1, keepdim=True)
    directions = flat / (lengths + SMALL)
    mean = (weights * directions).sum(0)
    merged: Tensor = mean
    if bool((lengths > 0).any()):
        if mean.norm() < SMALL:
            raise InputError("The directions of the parts cancel each other: no point on the sphere is between them.")
        merged = _spherical_mean(directions, mean / mean.norm(), weights) * (lengths * weights).sum()
    merged = merged.view(vectors.shape[1:])
    return merged if operands.base is None else operands.base.tensor + merged


def _spherical_mean(directions: Tensor, mean: Tensor, weights: Tensor) -> Tensor:
    """One step of the exponential map from `mean` [d] along the weighted tangents at `directions` [n, d]."""
    tangents = directions - (directions * mean).sum(1, keepdim=True) * mean
    tangent = (weights * tangents).sum(0)
    angle = tangent.norm() + SMALL
    point: Tensor = mean * torch.cos(angle) + tangent * (torch.sin(angle) / angle)
    return point


def _unit(vector: Tensor) -> Tensor:
    """The direction of a tensor; of a tensor of zeros, itself."""
    length = vector.norm()
    direction: Tensor = vector / length if length > SMALL else vector
    return direction
