"""Merges that go as far from the base as the parts agree."""

import torch
from pydantic import Field
from torch import Tensor

from polyray.config import Section
from polyray.errors import InputError
from polyray.merging.consensus import elected
from polyray.merging.operands import Operands
from polyray.sparsity import keep_largest

SMALL = 1e-6


class ModelStockOptions(Section):
    """The choices of model stock."""

    by_row: bool = False
    """An angle for each row of a tensor (mergekit's `filter_wise`) in place of one for the whole tensor."""


class SceOptions(Section):
    """The choices of SCE."""

    density: float = Field(1.0, gt=0, le=1)
    """Share of the varying entries that counts, those that vary most between the parts (mergekit's `select_topk`)."""


def model_stock(operands: Operands, options: ModelStockOptions) -> Tensor:
    """Between the base and the parts' average, nearer to the average the smaller the angle between their changes.

    theta_0 + t mean_i (theta_i - theta_0) with t = n c / (1 + (n - 1) c) and c the cosine of two changes, the mean over
    all pairs (Jang et al. 2024, arXiv:2403.19522, Eq. 7). Weights are not read.

    Raises:
        InputError: there is no base, or there are fewer than two parts.
    """
    n_parts = len(operands.parts)
    if n_parts < 2:
        raise InputError(f"Model stock takes two parts or more, found {n_parts}.")
    changes = operands.changes()
    rows = changes.flatten(2) if options.by_row and changes.dim() > 2 else changes.reshape(n_parts, 1, -1)
    products = torch.einsum("ird,jrd->rij", rows, rows)  # [rows, n, n]
    lengths = products.diagonal(dim1=1, dim2=2).sqrt()
    cosines = (products / (lengths.unsqueeze(1) * lengths.unsqueeze(2)).clamp_min(SMALL)).clamp(-1, 1)
    first, second = torch.triu_indices(n_parts, n_parts, 1)
    cosine = cosines[:, first, second].mean(1)
    step = n_parts * cosine / (1 + (n_parts - 1) * cosine)
    merged = step.view(-1, 1) * rows.mean(0)
    return operands.start + merged.view(operands.start.shape)


def sce(operands: Operands, options: SceOptions) -> Tensor:
    """Select, calculate, erase (Wan et al. 2024, FuseChat, arXiv:2408.07990).

    Entries that vary most between the task vectors are selected, each task vector is weighted by its mean square, and
    entries against the elected sign are erased. Weights are not read.
    """
    changes = operands.changes()
    if options.density < 1:
        variance = changes.var(0, unbiased=False)
        changes = changes * keep_largest(variance, int(int(variance.count_nonzero()) * options.density))
    energy = changes.square().reshape(len(changes), -1).mean(1)
    total = energy.sum()
    weights = energy / total if total > SMALL else torch.full_like(energy, 1 / len(energy))
    counts = (changes * elected(changes, "sum")) > 0
    remaining = weights.view(-1, *[1] * (changes.dim() - 1)) * counts
    return operands.start + (changes * remaining).sum(0) / remaining.sum(0).clamp_min(SMALL)
