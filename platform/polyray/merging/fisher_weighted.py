"""Merges in which every entry is weighted by its Fisher information."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from polyray.config import Section
from polyray.errors import InputError
from polyray.merging.operands import Operands, Part, no_base

CEILING = 1e6  # of Fisher information in CaPE with weight removal, as in the authors' code


class FisherOptions(Section):
    """The choices of methods that weight by Fisher information."""

    floor: float = Field(1e-6, ge=0)
    """Fisher information of an entry at least."""


class EwrOptions(FisherOptions):
    """The choices of elastic weight removal."""

    form: Literal["published", "delta"] = "published"
    """The paper's average of the base and task vectors, or only the step that this adds to the base."""


@dataclass(frozen=True, kw_only=True)
class EwrShares:
    """Sums over entries that tell what elastic weight removal did; those of several tensors add up.

    on_floor: entries of the parts' Fisher information that were below the floor, out of n_fisher. shrink, task: squared
    lengths of the two terms of the change, the base's own factor minus 1 times the base, and the task vectors'.
    """

    on_floor: int = 0
    n_fisher: int = 0
    shrink: float = 0.0
    task: float = 0.0

    def __add__(self, other: "EwrShares") -> "EwrShares":
        return EwrShares(**{name: value + vars(other)[name] for name, value in vars(self).items()})


def fisher_average(operands: Operands, options: FisherOptions) -> Tensor:
    """Average of the parts, entry by entry weighted by Fisher information: sum w_i f_i theta_i / sum w_i f_i.

    Matena & Raffel 2022 (arXiv:2111.09832), Eq. 4.

    Raises:
        InputError: a part has no Fisher information, or a negative weight.
    """
    _refuse_negative(operands)
    weighted = [_weighted(part, options) for part in operands.parts]
    numerator = sum(fisher * part.tensor for fisher, part in zip(weighted, operands.parts, strict=True))
    return _tensor(numerator) / _tensor(sum(weighted))


def ewr(operands: Operands, options: EwrOptions) -> Tensor:
    """Elastic weight removal (Daheim et al. 2024, arXiv:2303.17574): task vectors weighted by Fisher information.

    published: (w_0 f_0 theta_0 + sum_i w_i f_i tau_i) / Z with Z = w_0 f_0 + sum_i |w_i| f_i, which also shrinks the
    base towards 0; with w_0 = 1 it gives the bits of the authors' code. delta: theta_0 + sum_i w_i f_i tau_i / Z.
    tau_i = theta_i - theta_0; anti-experts have negative weights.

    Raises:
        InputError: there is no base, or it or a part has no Fisher information.
    """
    return _ewr(_terms(operands, options), options)


def ewr_with_shares(operands: Operands, options: EwrOptions) -> tuple[Tensor, EwrShares]:
    """`ewr`, with the entries on the floor, and how much of the change is shrinking and how much task vectors.

    Raises:
        InputError: as `ewr`.
    """
    terms = _terms(operands, options)
    task = _added(terms, torch.zeros_like(terms.base)).div_(terms.total)
    shrink = (terms.base_fisher / terms.total - 1) * terms.base
    informations = [_fisher(part) for part in operands.parts]
    shares = EwrShares(
        on_floor=sum(int((information < options.floor).sum()) for information in informations),
        n_fisher=sum(information.numel() for information in informations),
        shrink=float(shrink.double().square().sum()) if options.form == "published" else 0.0,
        task=float(task.double().square().sum()),
    )
    return _ewr(terms, options), shares


def is_delta(options: EwrOptions) -> bool:
    """Whether elastic weight removal adds a step to the base, in place of an average with it."""
    return options.form == "delta"


@dataclass(frozen=True, eq=False, kw_only=True)
class _Terms:
    """Terms of elastic weight removal, by entry.

    base_fisher: w_0 f_0. parts: w_i f_i and tau_i each. total: Z.
    """

    base: Tensor
    base_fisher: Tensor
    parts: Sequence[tuple[Tensor, Tensor]]
    total: Tensor


def _terms(operands: Operands, options: EwrOptions) -> _Terms:
    base = _base(operands)
    base_fisher = total = _weighted(base, options)
    parts = []
    for part in operands.parts:
        fisher = _weighted(part, options)
        total = total + fisher
        parts.append((fisher if part.weight > 0 else -fisher, part.tensor - base.tensor))
    return _Terms(base=base.tensor, base_fisher=base_fisher, parts=parts, total=total)


def _ewr(terms: _Terms, options: EwrOptions) -> Tensor:
    """The merged tensor; the order of operations is that of the authors' code, which decides its last bits."""
    if options.form == "delta":
        return terms.base + _added(terms, torch.zeros_like(terms.base)) / terms.total
    return _added(terms, terms.base_fisher * terms.base) / terms.total


def _added(terms: _Terms, total: Tensor) -> Tensor:
    """`total`, changed in place, and all w_i f_i tau_i."""
    for fisher, change in terms.parts:
        total += fisher * change
    return total


def cape_ewr(operands: Operands, options: FisherOptions) -> Tensor:
    """CaPE with elastic weight removal: ((1 - w) f_e theta_e - w f_a tau) / ((1 - w) f_e + w f_a).

    tau = theta_a - theta_e. The base is the expert theta_e, the one part the anti-expert theta_a, with the weight -w,
    0 < w < 1; f_a is the Fisher information that comes with it. As in the authors' code it is at most 1e6.

    Raises:
        InputError: there is no base, not one part, its weight is not between -1 and 0, or Fisher information lacks.
    """
    expert = _base(operands)
    if len(operands.parts) != 1 or not -1 < operands.parts[0].weight < 0:
        raise InputError(
            "CaPE with elastic weight removal takes the expert as base and one part, the anti-expert, with a weight "
            f"between -1 and 0; found the weights {', '.join(str(part.weight) for part in operands.parts)}."
        )
    anti_expert, weight = operands.parts[0], -operands.parts[0].weight
    of_expert = (1 - weight) * _fisher(expert).clamp(options.floor, CEILING)
    of_anti_expert = weight * _fisher(anti_expert).clamp(options.floor, CEILING)
    change = anti_expert.tensor - expert.tensor
    return (of_expert * expert.tensor - of_anti_expert * change) / (of_expert + of_anti_expert)


def _base(operands: Operands) -> Part:
    """The base, which has to be there.

    Raises:
        InputError: it is not.
    """
    if operands.base is None:
        raise no_base()
    return operands.base


def _fisher(part: Part) -> Tensor:
    """The Fisher information of a part.

    Raises:
        InputError: it has none.
    """
    if part.fisher is None:
        raise InputError("This merge method weights by Fisher information: give that of each part (and of the base).")
    return part.fisher


def _weighted(part: Part, options: FisherOptions) -> Tensor:
    """The Fisher information of a part, at least the floor, times the size of its weight."""
    return abs(part.weight) * _fisher(part).clamp_min(options.floor)


def _refuse_negative(operands: Operands) -> None:
    """Refuse negative weights.

    Raises:
        InputError: there is one.
    """
    negative = [part.weight for part in operands.parts if part.weight < 0]
    if negative:
        raise InputError(f"An average weighted by Fisher information takes positive weights, found {negative[0]}.")


def _tensor(total: "Tensor | int") -> Tensor:
    """A sum of at least one tensor."""
    assert isinstance(total, Tensor)
    return total
