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
STRETCH = 1 << 16  # entries that are merged together


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
    """Sign, 1 or -1, of each entry: that of the sum of weighted task vectors, or of most of them; a tie elects plus.

    weighted [n, *shape] -> [*shape].
    """
    votes = weighted.sum(0) if election == "sum" else weighted.sign().sum(0)
    return torch.ones_like(votes).copysign_(votes.add_(0.0))  # -0.0 + 0.0 is 0.0


def _merge(operands: Operands, options: ThinnedOptions, thin: Callable[[Tensor, float], Tensor]) -> Tensor:
    """The base and the merged task vector, after `thin` left only some entries of each.

    Raises:
        InputError: there is no base, or normalized weights without an election add up to 0.
    """
    start = operands.start.reshape(-1)
    thinned = []
    for part in operands.parts:
        change = part.tensor - operands.start
        chosen = change if part.density >= 1 else thin(change, part.density)
        thinned.append((as_long_as(chosen, change) if options.rescale else chosen).reshape(-1))
    weights = operands.weights.reshape(-1, 1)
    divisor = total_weight(operands) if options.normalize and options.signs == "none" else 1.0
    merged = torch.empty_like(start)
    for begin in range(0, len(start), STRETCH):  # what is computed with stays in the cache
        stretch = slice(begin, begin + STRETCH)
        change = _elected_sum(torch.stack([x[stretch] for x in thinned]), weights, options)
        torch.add(start[stretch], change, alpha=options.scale / divisor, out=merged[stretch])
    return merged.view(operands.start.shape)


def _elected_sum(changes: Tensor, weights: Tensor, options: ThinnedOptions) -> Tensor:
    """Sum of task vectors [n, entries] times weights [n, 1], of entries that count; over their weights if so wished.

    An entry counts where its product with the elected sign is positive.
    """
    weighted = changes.mul_(weights)
    if options.signs == "none":
        return weighted.sum(0)
    sign = elected(weighted, options.signs)
    agreeing = weighted.mul_(sign).clamp_min_(0)
    merged = agreeing.sum(0).mul_(sign)
    if not options.normalize:
        return merged
    counted = agreeing.sign_().mul_(weights).sum(0)
    return merged.div_(counted.add_((counted == 0).to(counted.dtype)))
