"""Merges of task vectors by their singular vectors; tensors that are no matrices are averaged."""

import torch
from pydantic import Field
from torch import Tensor

from polyray.config import Section
from polyray.merging.operands import Operands


class SpectralOptions(Section):
    """The choices of methods that look at singular vectors."""

    scale: float = Field(1.0)
    """Coefficient of the merged task vector."""


def iso_c(operands: Operands, options: SpectralOptions) -> Tensor:
    """Isotropic merging: the sum of task vectors with all singular values made equal to their mean.

    Marczak et al. 2025 (arXiv:2502.04959), Algorithm 1. Of tensors that are no matrices the mean of the task vectors.
    """
    changes = operands.weights * operands.changes()
    if changes.dim() != 3:
        return operands.start + options.scale * changes.mean(0)
    left, values, right = torch.linalg.svd(changes.sum(0), full_matrices=False)
    merged: Tensor = values.mean() * (left @ right)
    return operands.start + options.scale * merged


def tsv_merge(operands: Operands, options: SpectralOptions) -> Tensor:
    """Task singular vectors: the first singular vectors of each task vector, made orthogonal to those of the others.

    Each of n task vectors gives rank / n of its singular triples; the joined left and right vectors are each replaced
    by the nearest orthogonal matrix (Gargiulo et al. 2025, arXiv:2412.00081, Algorithm 1). Of tensors that are no
    matrices the mean of the task vectors.
    """
    changes = operands.weights * operands.changes()
    if changes.dim() != 3:
        return operands.start + options.scale * changes.mean(0)
    n_each = max(min(changes.shape[1:]) // len(changes), 1)
    left, values, right = torch.linalg.svd(changes, full_matrices=False)  # [n, out, r], [n, r], [n, r, in]
    joined_left = left[..., :n_each].permute(1, 0, 2).flatten(1)  # [out, n * n_each]
    joined_right = right[:, :n_each].flatten(0, 1)  # [n * n_each, in]
    merged: Tensor = _orthogonal(joined_left) @ (values[:, :n_each].reshape(-1, 1) * _orthogonal(joined_right))
    return operands.start + options.scale * merged


def _orthogonal(matrix: Tensor) -> Tensor:
    """The matrix with orthonormal columns, or rows, that is nearest to `matrix` (orthogonal Procrustes)."""
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    nearest: Tensor = left @ right
    return nearest
