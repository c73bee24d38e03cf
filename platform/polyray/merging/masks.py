"""Merges that choose entries by magnitude, by an elected sign, or by the number of parts that need them."""

import torch
from pydantic import Field
from torch import Tensor

from polyray.config import Section
from polyray.merging.consensus import elected
from polyray.merging.operands import Operands


class ScaleOptions(Section):
    """The choices of methods that have a coefficient alone."""

    scale: float = Field(1.0)
    """Coefficient of the merged task vector."""


class TallOptions(Section):
    """The choices of consensus merging."""

    scale: float = Field(1.0)
    """Coefficient of the merged task vector."""
    sensitivity: float = Field(0.4, gt=0)
    """Lambda of the masks: an entry is a part's where |tau_i| >= lambda |sum - tau_i|; larger is sparser."""
    needed_by: int = Field(2, ge=1)
    """Number of parts whose masks must have an entry for it to stay; of fewer parts than that all."""


def magmax(operands: Operands, options: ScaleOptions) -> Tensor:
    """The base and at each entry the task vector furthest from zero: theta_0 + scale * w_i tau_i with the largest |.|.

    Marczak et al. 2024 (MagMax, arXiv:2407.06322), for skills that arrive one after the other: merging one more into
    the maximum of those before gives the maximum of all. Of equal ones with opposite signs the positive one counts.
    """
    changes = operands.weights * operands.changes()
    high, low = changes.amax(0), changes.amin(0)
    return operands.start + options.scale * torch.where(high >= -low, high, low)


def emr(operands: Operands, options: ScaleOptions) -> Tensor:
    """The unified task vector of EMR: at each entry the elected sign and the largest magnitude with that sign.

    Huang et al. 2024 (EMR-Merging, arXiv:2405.17461), "elect"; masks and scales of the parts are `emr_masks`.
    """
    return operands.start + options.scale * unified(operands.weights * operands.changes())


def unified(changes: Tensor) -> Tensor:
    """The elected sign times the largest magnitude of that sign: task vectors [n, *shape] -> [*shape]."""
    sign = elected(changes, "sum")
    return (changes * sign).clamp_min(0).amax(0) * sign


def emr_masks(changes: Tensor) -> tuple[Tensor, Tensor]:
    """Masks and factors that make each part's task vector of the unified one: masks [n, *shape] and factors [n].

    Entries whose sign is the elected one, and the factor that gives the masked unified task vector the sum of absolute
    values of the part's own: tau_i is near factor_i * mask_i * unified.
    """
    common = unified(changes)
    masks = changes * common > 0
    whole, masked = (x.abs().flatten(1).sum(1) for x in (changes, masks * common))
    return masks, torch.where(masked > 0, whole / masked.clamp_min(1e-30), 1.0)


def tall_masks(changes: Tensor, sensitivity: float) -> Tensor:
    """Entries that each part needs of the sum: |tau_i| >= lambda |sum - tau_i|, task vectors [n, *shape] -> bool.

    Wang et al. 2024 (TALL masks, arXiv:2405.07813), Eq. 5.
    """
    return changes.abs() >= sensitivity * (changes.sum(0) - changes).abs()


def consensus(operands: Operands, options: TallOptions) -> Tensor:
    """The base and the sum of task vectors, at entries that several parts need.

    Wang et al. 2024 (consensus merging, arXiv:2405.07813), section 4.2: entries that one part alone needs, or none, go.
    """
    changes = operands.weights * operands.changes()
    needed = (tall_masks(changes, options.sensitivity) & (changes != 0)).sum(0)
    staying = needed >= min(options.needed_by, len(changes))
    return operands.start + options.scale * changes.sum(0) * staying
