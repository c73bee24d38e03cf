"""The merge methods by name."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from polyray.config import Section
from polyray.errors import InputError
from polyray.merging import (
    agreement,
    consensus,
    fisher_weighted,
    interference,
    knots,
    linear,
    masks,
    regression,
    spectral,
    spherical,
)
from polyray.merging.fisher_weighted import EwrShares
from polyray.merging.operands import Operands
from polyray.skills.lora_sums import LowRank


def never(options: Any) -> bool:
    """No, whatever the options are."""
    return False


def always(options: Any) -> bool:
    """Yes, whatever the options are."""
    return True


@dataclass(frozen=True, kw_only=True)
class MergeMethod:
    """A merge method: a pure function of the operands of one tensor, and its options.

    Attributes:
        function: called as function(operands, options), gives the merged tensor [*shape]; it changes no operand.
        Options: the fields that it reads.
        needs_base: whether there must be a base.
        needs_fisher: whether base (where one is needed) and parts must have Fisher information.
        needs_inner_products: whether parts have inner products of the inputs of linear layers.
        by_entry: whether an entry of the result depends on the same entry of the operands alone, so that a tensor may
            be merged in pieces.
        draws: whether it needs a generator.
        coefficients: called as coefficients(weights, options), gives the factor of each part's task vector in the
            result, where this is the base and a sum of them; None: it is not.
        of_products: called as of_products(products with weights and densities, options), merges LoRA products into one;
            None: there is no such way but by `coefficients`.
        on_changes: whether with these options the change of the base follows entry by entry from the parts' changes.
        with_shares: called like function, also tells what elastic weight removal did; None: it is another method.
        about: one line, the first of the function's documentation.
    """

    function: Callable[[Operands, Any], Tensor]
    Options: type[Section]
    needs_base: bool = True
    needs_fisher: bool = False
    needs_inner_products: bool = False
    by_entry: bool = False
    draws: bool = False
    coefficients: Callable[[Sequence[float], Any], list[float]] | None = None
    of_products: Callable[[Sequence[tuple[LowRank, float, float]], Any], LowRank] | None = None
    on_changes: Callable[[Any], bool] = never
    with_shares: Callable[[Operands, Any], tuple[Tensor, EwrShares]] | None = None
    about: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "about", (inspect.getdoc(self.function) or "").partition("\n")[0])


MERGES: dict[str, MergeMethod] = {
    "average": MergeMethod(
        function=linear.average, Options=linear.AverageOptions, needs_base=False, by_entry=True,
        coefficients=linear.average_coefficients, on_changes=linear.is_normalized,
    ),
    "task_arithmetic": MergeMethod(
        function=linear.task_arithmetic, Options=linear.TaskVectorOptions, by_entry=True,
        coefficients=linear.task_coefficients, on_changes=always,
    ),
    "cape": MergeMethod(
        function=linear.cape, Options=linear.CapeOptions, by_entry=True, coefficients=linear.cape_coefficients,
        on_changes=always,
    ),
    "overlap": MergeMethod(
        function=linear.overlap, Options=linear.OverlapOptions, by_entry=True, on_changes=always
    ),
    "fisher": MergeMethod(
        function=fisher_weighted.fisher_average, Options=fisher_weighted.FisherOptions, needs_base=False,
        needs_fisher=True, by_entry=True, on_changes=always,
    ),
    "ewr": MergeMethod(
        function=fisher_weighted.ewr, Options=fisher_weighted.EwrOptions, needs_fisher=True, by_entry=True,
        on_changes=fisher_weighted.is_delta, with_shares=fisher_weighted.ewr_with_shares,
    ),
    "cape_ewr": MergeMethod(
        function=fisher_weighted.cape_ewr, Options=fisher_weighted.FisherOptions, needs_fisher=True, by_entry=True
    ),
    "ties": MergeMethod(function=consensus.ties, Options=consensus.TiesOptions),
    "dare": MergeMethod(function=consensus.dare, Options=consensus.DareOptions, draws=True),
    "breadcrumbs": MergeMethod(function=consensus.breadcrumbs, Options=consensus.BreadcrumbsOptions),
    "della": MergeMethod(function=consensus.della, Options=consensus.DellaOptions, draws=True),
    "slerp": MergeMethod(function=spherical.slerp, Options=spherical.SlerpOptions),
    "multislerp": MergeMethod(function=spherical.multislerp, Options=spherical.MultiSlerpOptions, needs_base=False),
    "model_stock": MergeMethod(function=agreement.model_stock, Options=agreement.ModelStockOptions),
    "sce": MergeMethod(function=agreement.sce, Options=agreement.SceOptions),
    "magmax": MergeMethod(function=masks.magmax, Options=masks.ScaleOptions, by_entry=True, on_changes=always),
    "emr": MergeMethod(function=masks.emr, Options=masks.ScaleOptions, by_entry=True, on_changes=always),
    "consensus": MergeMethod(function=masks.consensus, Options=masks.TallOptions, by_entry=True, on_changes=always),
    "wudi": MergeMethod(function=interference.wudi, Options=interference.WudiOptions),
    "regmean": MergeMethod(
        function=regression.regmean, Options=regression.RegMeanOptions, needs_base=False, needs_inner_products=True
    ),
    "knots": MergeMethod(function=knots.knots, Options=knots.KnotsOptions, of_products=knots.knots_of_products),
    "iso_c": MergeMethod(function=spectral.iso_c, Options=spectral.SpectralOptions),
    "tsv_merge": MergeMethod(function=spectral.tsv_merge, Options=spectral.SpectralOptions),
}  # fmt: skip


def merge(method: MergeMethod, operands: Operands, options: Section) -> Tensor:
    """One merged tensor; parts of the weight 0 take no part, and where none is left the base's tensor is the result.

    Raises:
        InputError: the operands are not those that the method needs.
    """
    return merge_with_shares(replace(method, with_shares=None), operands, options)[0]


def merge_with_shares(method: MergeMethod, operands: Operands, options: Section) -> tuple[Tensor, EwrShares]:
    """As `merge`, and what elastic weight removal did; of other methods nothing is told.

    Raises:
        InputError: as `merge`.
    """
    present = operands.present()
    if not present.parts and operands.base is not None:
        return operands.base.tensor.clone(), EwrShares()
    if not present.parts:
        raise InputError("All parts have the weight 0: nothing is left to merge.")
    if method.with_shares is not None:
        return method.with_shares(present, options)
    return method.function(present, options), EwrShares()
