"""Merges of matrices that keep what each task vector does to the inputs it was learned on."""

import torch
from pydantic import Field
from torch import Tensor

from polyray.config import Section
from polyray.merging.operands import Operands

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # of Adam


class WudiOptions(Section):
    """The choices of WUDI."""

    steps: int = Field(300, ge=0)
    """Steps of Adam; 0: the minimum that is nearest to the sum of task vectors, by linear algebra."""
    lr: float = Field(1e-5, gt=0)
    """Learning rate."""


def wudi(operands: Operands, options: WudiOptions) -> Tensor:
    """The base and a task vector that disturbs none of the parts': argmin sum_i |(tau - tau_i) tau_i^T|^2 / |tau_i|^2.

    The rows of tau_i span the inputs that part i was learned on. Begins at the sum (Cheng et al. 2025, WUDI-Merging,
    arXiv:2503.08099, Algorithm 1). Of tensors that are no matrices the mean of the task vectors.
    """
    changes = operands.weights * operands.changes()
    if changes.dim() != 3:
        return operands.start + changes.mean(0)
    squares = changes.square().sum((1, 2)).clamp_min(torch.finfo(changes.dtype).tiny)
    rows = changes / squares.sqrt().view(-1, 1, 1)
    inputs = torch.einsum("noi,noj->ij", rows, rows)  # [in, in], sum_i tau_i^T tau_i / |tau_i|^2
    target = torch.einsum("noi,nij->oj", changes, torch.einsum("noi,noj->nij", rows, rows))  # [out, in]
    merged = changes.sum(0)
    if not options.steps:
        merged = merged + (target - merged @ inputs) @ torch.linalg.pinv(inputs, hermitian=True)
        exact: Tensor = operands.start + merged
        return exact
    return operands.start + _descended(merged, inputs, target, options)


def _descended(merged: Tensor, inputs: Tensor, target: Tensor, options: WudiOptions) -> Tensor:
    """`merged` [out, in] after steps of Adam down the loss, whose gradient is 2 (merged inputs - target)."""
    mean, square = torch.zeros_like(merged), torch.zeros_like(merged)
    for step in range(1, options.steps + 1):
        gradient = 2 * (merged @ inputs - target)
        mean.lerp_(gradient, 1 - BETA_1)
        square.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        size = (square / (1 - BETA_2**step)).sqrt_().add_(EPSILON)
        merged = merged - options.lr / (1 - BETA_1**step) * mean / size
    return merged
