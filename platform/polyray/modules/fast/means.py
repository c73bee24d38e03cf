"""The weighted mean over skills of one site's matrix, row by row, and the gradients of it.

All skills' matrices are held flat, [heads, skills, rank * width]: one product without a view on either side.
"""

import torch
from torch import Tensor


def mean(weights: Tensor, skills: Tensor, rank: int) -> Tensor:
    """sum_s w_s skill_s, the heads side by side: weights [heads, rows, skills] -> [rows, rank, heads * width]."""
    mixed = torch.bmm(weights, skills)
    heads, rows, _ = weights.shape
    if heads == 1:
        return mixed.view(rows, rank, -1)
    return mixed.view(heads, rows, rank, -1).permute(1, 2, 0, 3).flatten(2)


def mean_gradients(
    weights: Tensor, skills: Tensor, g: Tensor, of_weights: bool, of_skills: bool, into: Tensor | None = None
) -> tuple[Tensor | None, Tensor | None]:
    """Those of `weights` and of `skills`, where wanted, from the mean's g [rows, rank, heads * width].

    into: where that of `skills` is written.
    """
    heads, rows, _ = weights.shape
    rank = g.shape[1]
    g = g.view(1, rows, -1) if heads == 1 else g.view(rows, rank, heads, -1).permute(2, 0, 1, 3).flatten(2)
    g_skills = torch.bmm(weights.mT, g, out=into) if of_skills else None
    # g skills^T would be the same, but up to half as slow again: the few rows belong on the right
    return (torch.bmm(skills, g.mT).mT if of_weights else None), g_skills
