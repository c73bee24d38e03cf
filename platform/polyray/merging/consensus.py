"""Sums of task vectors that were thinned out, of the entries whose signs agree or of all."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from polyray.merging.linear import TaskVectorOptions, total_weight
from polyray.merging.operands import Operands
from polyray.merging.thinning import as_long_as, at_random, by_rank, largest, without_outliers

Election = Literal["sum", "count", "none"]


class ThinnedOptions(TaskVectorOptions):
    """The choices of methods that thin task vectors out."""

    normalize: bool = True
    rescale: bool = False
    """Give each thinned task vector the sum of absolute values that it had."""
    signs: Election = "sum"
    """Who elects the sign of an entry, against which no task vector counts: their sum, their majority, nobody."""


class TiesOptions(ThinnedOptions):
    """The choices of TIES."""


class DareOptions(ThinnedOptions):
    """The choices of DARE."""

    normalize: bool = False
    rescale: bool = True
    signs: Election = "none"


class BreadcrumbsOptions(ThinnedOptions):
    """The choices of model breadcrumbs."""

    normalize: bool = False
    signs: Election = "none"
    outliers: float = Field(0.01, ge=0, lt=1)
    """Share of the entries, the largest, that go, too (mergekit's `gamma`)."""


class DellaOptions(ThinnedOptions):
    """The choices of DELLA."""

    rescale: bool = True
    spread: float = Field(0.15, ge=0, lt=0.5)
    """Half of the difference between the probabilities of the largest and the smallest entry (mergekit's `epsilon`)."""


def ties(operands: Operands, options: TiesOptions) -> Tensor:
    """Trim, elect signs, merge (Yadav et al. 2023, arXiv:2306.01708).

    Of each task vector the largest entries stay; of each entry those task vectors count whose sign is the elected one.
    """
    return _merge(operands, options, lambda change, density: largest(change, density))


def dare(operands: Operands, options: DareOptions) -> Tensor:
    """Drop entries at random and rescale (Yu et al. 2024, arXiv:2311.03099); with `signs` elected as in TIES."""
    return _merge(operands, options, lambda change, density: at_random(change, density, operands.generator))


def breadcrumbs(operands: Operands, options: BreadcrumbsOptions) -> Tensor:
    """Drop the smallest and the very largest entries of each task vector.

    Davari & Belilovsky 2023 (model breadcrumbs, arXiv:2312.06795).
    """
    return _merge(operands, options, lambda change, density: without_outliers(change, density, options.outliers))


def della(operands: Operands, options: DellaOptions) -> Tensor:
    """Drop entries at random, small ones rather than large ones (Deep et al. 2024, arXiv:2406.11617)."""
    return _merge(
        operands, options, lambda change, density: by_rank(change, density, options.spread, operands.generator)
    )


def elected(weighted: Tensor, election: Election) -> Tensor:
    """Mask of the entries that count: weighted task vectors [n, *shape] -> bool [n, *shape].

    With an election they are the entries whose sign the sum of all, or most of them, have; a tie elects plus.
    """
    if election == "none":
        return torch.ones_like(weighted, dtype=torch.bool)
    signs = weighted.sign()
    votes = weighted.sum(0) if election == "sum" else signs.sum(0)
    return signs == torch.where(votes >= 0, 1.0, -1.0).to(signs.dtype)


def _merge(operands: Operands, options: ThinnedOptions, thin: Callable[[Tensor, float], Tensor]) -> Tensor:
    """The base and the merged task vector, after `thin` left only some entries of each.

    Raises:
        InputError: there is no base, or normalized weights without an election add up to 0.
    """
    thinned = []
    for part, change in zip(operands.parts, operands.changes(), strict=True):
        chosen = change if part.density >= 1 else thin(change, part.density)
        thinned.append(as_long_as(chosen, change) if options.rescale else chosen)
    weights = operands.weights
    weighted = torch.stack(thinned) * weights
    mask = elected(weighted, options.signs)
    merged = (weighted * mask).sum(0)
    if options.normalize and options.signs == "none":
        merged = merged / total_weight(operands)
    elif options.normalize:
        divisor = (weights * mask).sum(0)
        merged = merged / torch.where(divisor == 0, 1.0, divisor)
    return operands.start + options.scale * merged
