"""Chosen entries of gradients, dense ones and those of embeddings, which have the rows of a batch only."""

import numpy as np
import torch
from torch import Tensor

NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


def untouched_zeros(like: Tensor) -> Tensor:
    """Zeros [n] like a vector; on a CPU the system hands out their memory as they are written to.

    A gradient grows thereby while the activations go, and the two do not add up to one peak.
    """
    if like.device.type != "cpu" or like.dtype not in NUMPY:
        return torch.zeros_like(like)
    return torch.from_numpy(np.zeros(like.shape, NUMPY[like.dtype]))


def add_dense(target: Tensor, gradient: Tensor, indices: Tensor) -> None:
    """Add chosen entries of a gradient: target [k], gradient [*shape], flat indices [k]."""
    target += gradient.to_dense().reshape(-1).index_select(0, indices)


def row_starts(indices: Tensor, matrix: Tensor) -> Tensor:
    """Number of the first chosen entry of each row of a matrix, and of all: indices [k], ascending -> [rows + 1]."""
    rows, columns = matrix.shape
    return torch.searchsorted(indices.long(), torch.arange(rows + 1, device=indices.device) * columns)


def add_rows(target: Tensor, gradient: Tensor, indices: Tensor, starts: Tensor) -> None:
    """Add chosen entries of a gradient that has few rows; others are neither made nor looked at.

    Args:
        target: [k], to which is added.
        gradient: [rows, columns], sparse in its rows, which may come several times.
        indices: [k] into the flattened matrix, ascending.
        starts: [rows + 1], from `row_starts`.
    """
    gradient = gradient.coalesce()
    rows, values = gradient.indices()[0], gradient.values()  # [r], [r, columns]
    counts = starts[rows + 1] - starts[rows]
    numbers = torch.arange(len(rows), device=rows.device).repeat_interleave(counts)  # [n], the row of each entry
    first = starts[rows] - (counts.cumsum(0) - counts)
    entries = torch.arange(len(numbers), device=rows.device) + first[numbers]  # [n], no entry twice
    columns = indices[entries] % gradient.shape[1]
    target[entries] += values[numbers, columns].to(target.dtype)
