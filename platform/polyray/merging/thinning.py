"""Ways to thin a task vector out before it is merged."""

import math

import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.sparsity import keep_largest


def largest(change: Tensor, density: float) -> Tensor:
    """The floor(density * n) entries of `change` furthest from zero, the others 0 (Yadav et al. 2023, TIES)."""
    return change * keep_largest(change, math.floor(density * change.numel()))


def without_outliers(change: Tensor, density: float, outliers: float) -> Tensor:
    """The next largest entries after the largest `outliers * n`, floor(density * n) in all; the others 0.

    Davari & Belilovsky 2023 (model breadcrumbs, arXiv:2312.06795). Where too few entries are left, fewer outliers go.
    """
    n_entries, n_chosen = change.numel(), math.floor(density * change.numel())
    n_outliers = min(math.floor(outliers * n_entries), n_entries - n_chosen)
    return change * (keep_largest(change, n_outliers + n_chosen) & ~keep_largest(change, n_outliers))


def at_random(change: Tensor, density: float, generator: torch.Generator | None) -> Tensor:
    """Entries that are drawn with the probability `density`, the others 0 (Yu et al. 2024, DARE, arXiv:2311.03099)."""
    return _drawn(change, torch.full_like(change, density), generator)


def by_rank(change: Tensor, density: float, spread: float, generator: torch.Generator | None) -> Tensor:
    """Entries drawn with a probability that rises with their rank in their row, the others 0.

    From density - spread for the smallest entry of a row (first dimension) to density + spread for the largest; a
    tensor of one dimension is one row (Deep et al. 2024, DELLA's MAGPRUNE, arXiv:2406.11617).

    Raises:
        InputError: these probabilities are not between 0 and 1.
    """
    if not (density - spread > 0 and density + spread < 1):
        raise InputError(
            f"DELLA draws with probabilities between density - spread and density + spread, found {density} and "
            f"{spread}: both must lie between 0 and 1."
        )
    rows = change.reshape(len(change), -1) if change.dim() > 1 else change.reshape(1, -1)
    ranks = rows.abs().argsort(stable=True, dim=1).argsort(1).to(change.dtype)
    chance = density - spread + 2 * spread * ranks / max(rows.shape[1] - 1, 1)
    return _drawn(rows, chance, generator).view(change.shape)


def as_long_as(thinned: Tensor, change: Tensor) -> Tensor:
    """`thinned` times the factor that gives it the sum of absolute values of `change`; unchanged where one is 0."""
    before, after = change.abs().sum(), thinned.abs().sum()
    return thinned * torch.where((before > 0) & (after > 0), before / after, 1.0)


def _drawn(change: Tensor, chance: Tensor, generator: torch.Generator | None) -> Tensor:
    """Entries that are drawn with their own probability, the others 0.

    Raises:
        InputError: there is no generator.
    """
    if generator is None:
        raise InputError("This merge method draws entries: give it a generator.")
    return change * torch.bernoulli(chance, generator=generator)
