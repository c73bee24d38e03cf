"""Merge methods: laws that all of them obey, and numbers worked by hand for each."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from gathering import for_cases, for_each
from torch import Tensor

from polyray.config import Section
from polyray.errors import InputError
from polyray.merging import MERGES, MergeMethod, Operands, Part, merge
from polyray.merging.agreement import ModelStockOptions, SceOptions, model_stock, sce
from polyray.merging.consensus import (
    BreadcrumbsOptions,
    DareOptions,
    DellaOptions,
    TiesOptions,
    breadcrumbs,
    dare,
    della,
    ties,
)
from polyray.merging.fisher_weighted import EwrOptions, FisherOptions, cape_ewr, ewr, ewr_with_shares, fisher_average
from polyray.merging.linear import (
    AverageOptions,
    CapeOptions,
    OverlapOptions,
    TaskVectorOptions,
    average,
    average_coefficients,
    cape,
    overlap,
    task_arithmetic,
)
from polyray.merging.spectral import SpectralOptions, iso_c, tsv_merge
from polyray.merging.spherical import MultiSlerpOptions, SlerpOptions, multislerp, slerp
from polyray.merging.thinning import as_long_as, at_random, by_rank, largest, without_outliers

WEIGHTS = {
    "cape": (0.5, -0.5),
    "cape_ewr": (-0.25,),
    "fisher": (1.0, 0.25),
    "slerp": (1.0,),
    "regmean": (1.0, 0.5, 0.25),
}
UNORDERED = sorted(set(MERGES) - {"dare", "della"})  # those draw for one part after the other


def part(*values: float, weight: float = 1.0, density: float = 1.0, fisher: tuple[float, ...] | None = None) -> Part:
    return Part(
        tensor=torch.tensor(values, dtype=torch.float64), weight=weight, density=density,
        fisher=None if fisher is None else torch.tensor(fisher, dtype=torch.float64),
    )  # fmt: skip


def drawn(name: str, shape: tuple[int, ...] = (4, 6), seed: int = 0) -> Operands:
    """Random operands that the method takes."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=generator)

    def model(weight: float) -> Part:
        change = torch.randn(shape, generator=generator) * 0.1
        inputs = torch.randn(9, shape[-1], generator=generator) if len(shape) == 2 else None
        return Part(
            tensor=base + change, weight=weight, density=0.5, fisher=torch.rand(shape, generator=generator),
            inner_products=None if inputs is None else inputs.T @ inputs,
        )  # fmt: skip

    return Operands(
        parts=[model(weight) for weight in WEIGHTS.get(name, (1.0, -0.5, 0.25))], base=replace(model(1.0), tensor=base),
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip


def again(operands: Operands, **changes: Any) -> Operands:
    """The operands with a fresh generator."""
    return replace(operands, generator=torch.Generator().manual_seed(1), **changes)


def merged(name: str, operands: Operands, **options: object) -> Tensor:
    method = MERGES[name]
    return merge(method, operands, method.Options(**options))


@for_each(name=sorted(MERGES))
def test_a_merge_keeps_shape_and_type_and_changes_no_operand(name: str) -> None:
    for shape in [(4, 6), (5,), (2, 3, 4), ()]:
        operands = drawn(name, shape)
        before = [
            x.clone() for p in (operands.base, *operands.parts) if p for x in (p.tensor, p.fisher) if x is not None
        ]
        result = merged(name, operands)
        after = [x for p in (operands.base, *operands.parts) if p for x in (p.tensor, p.fisher) if x is not None]
        assert all(map(torch.equal, before, after))
        assert result.shape == shape and result.dtype == torch.float32 and bool(result.isfinite().all())
        assert torch.equal(result, merged(name, again(operands)))


@for_each(name=sorted(MERGES))
def test_a_part_of_weight_zero_takes_no_part(name: str) -> None:
    operands = drawn(name)
    more = again(operands, parts=[*operands.parts, replace(operands.parts[0], tensor=torch.ones(4, 6) * 9, weight=0.0)])
    assert torch.equal(merged(name, more), merged(name, again(operands)))
    nothing = again(operands, parts=[replace(p, weight=0.0) for p in operands.parts])
    assert operands.base is not None
    assert torch.equal(merged(name, nothing), operands.base.tensor)


@for_each(name=UNORDERED)
def test_the_order_of_parts_is_irrelevant(name: str) -> None:
    operands = drawn(name)
    torch.testing.assert_close(merged(name, replace(operands, parts=operands.parts[::-1])), merged(name, operands))


@for_each(name=[name for name, method in MERGES.items() if method.by_entry])
def test_methods_by_entry_may_merge_a_tensor_in_pieces(name: str) -> None:
    operands = drawn(name)

    def piece(rows: slice) -> Operands:
        def of(p: Part) -> Part:
            assert p.fisher is not None
            return replace(p, tensor=p.tensor[rows], fisher=p.fisher[rows])

        assert operands.base is not None
        return replace(operands, parts=[of(p) for p in operands.parts], base=of(operands.base))

    pieces = [merged(name, piece(slice(start, start + 2))) for start in (0, 2)]
    assert torch.equal(torch.cat(pieces), merged(name, operands))


@for_each(name=sorted(set(MERGES) - {"ewr", "cape_ewr"}))
def test_parts_that_equal_the_base_leave_it(name: str) -> None:
    operands = drawn(name)
    assert operands.base is not None
    same = [replace(p, tensor=operands.base.tensor.clone()) for p in operands.parts]
    torch.testing.assert_close(merged(name, replace(operands, parts=same)), operands.base.tensor)


@for_each(name=[name for name, method in MERGES.items() if method.coefficients])
def test_linear_methods_are_the_base_and_a_sum_of_task_vectors(name: str) -> None:
    method, operands = MERGES[name], drawn(name)
    options = [method.Options()]
    if "scale" in method.Options.model_fields:
        options.append(method.Options.model_validate({"scale": 0.3, "normalize": True}))
    assert method.coefficients is not None
    for chosen in options:
        factors = torch.tensor(method.coefficients([p.weight for p in operands.parts], chosen)).view(-1, 1, 1)
        expected = operands.start + (factors * operands.changes()).sum(0)
        torch.testing.assert_close(merge(method, again(operands), chosen), expected)
    with pytest.raises(InputError, match="normalize to true"):
        average_coefficients([1.0], AverageOptions(normalize=False))


CASES_ON_CHANGES: list[dict[str, Any]] = [{"name": name, "options": {}} for name in MERGES]
CASES_ON_CHANGES += [
    {"name": "ewr", "options": {"form": "delta"}},
    {"name": "average", "options": {"normalize": False}},
]


@for_cases(CASES_ON_CHANGES)
def test_methods_on_changes_give_the_same_change_whatever_the_base_is(name: str, options: dict[str, Any]) -> None:
    method, operands = MERGES[name], drawn(name)
    assert operands.base is not None
    if not method.on_changes(method.Options(**options)):
        return
    shift = torch.linspace(-3, 3, 24).view(4, 6)
    shifted = [replace(p, tensor=p.tensor + shift) for p in operands.parts]
    base = replace(operands.base, tensor=operands.base.tensor + shift)
    result = merged(name, again(operands, parts=shifted, base=base), **options) - shift
    torch.testing.assert_close(result, merged(name, again(operands), **options), rtol=1e-4, atol=1e-5)
    assert method.by_entry


@for_each(name=sorted(MERGES))
def test_what_a_method_needs_is_demanded(name: str) -> None:
    method, operands = MERGES[name], drawn(name)
    if method.needs_base:
        with pytest.raises(InputError, match="base"):
            merged(name, replace(operands, base=None))
    if method.needs_fisher:
        with pytest.raises(InputError, match="Fisher"):
            merged(name, replace(operands, parts=[replace(p, fisher=None) for p in operands.parts]))
    if method.draws:
        with pytest.raises(InputError, match="generator"):
            merged(name, replace(operands, generator=None))


def close(result: Tensor, *expected: float) -> bool:
    return torch.allclose(result, torch.tensor(expected, dtype=result.dtype), rtol=1e-9, atol=1e-12)


def test_averages_and_task_vectors_worked_by_hand() -> None:
    operands = Operands(parts=[part(1, 4, weight=1), part(3, 0, weight=3)], base=part(0, 2))
    assert close(average(operands, AverageOptions()), 2.5, 1)
    assert close(average(operands, AverageOptions(normalize=False)), 10, 4)
    assert close(task_arithmetic(operands, TaskVectorOptions()), 10, -2)  # 0 + 1 + 9, 2 + 2 - 6
    assert close(task_arithmetic(operands, TaskVectorOptions(normalize=True, scale=2)), 5, 0)
    negated = Operands(parts=[part(1, 4, weight=-1)], base=part(0, 2))
    assert close(task_arithmetic(negated, TaskVectorOptions()), -1, 0)
    with pytest.raises(InputError, match="add up to 0"):
        average(Operands(parts=[part(1), part(2, weight=-1)]), AverageOptions())


def test_cape_worked_by_hand() -> None:
    operands = Operands(parts=[part(1, 4, weight=-0.5), part(3, 0, weight=0.5)], base=part(10, 10))
    assert close(cape(operands, CapeOptions()), 11, 8)  # + 0.5 * (3 - 1), + 0.5 * (0 - 4)
    for weights in [(0.5, 0.5), (0.5, -0.4), (0.5,)]:
        with pytest.raises(InputError, match="expert"):
            cape(Operands(parts=[part(1, weight=w) for w in weights], base=part(0)), CapeOptions())


def test_entries_that_several_parts_change_are_averaged_worked_by_hand() -> None:
    parts = [part(1, 3, 5, 1), part(1, 1, 3, 2, weight=3.0)]  # task vectors 0 2 4 0 and 0 0 2 1
    operands = Operands(parts=parts, base=part(1, 1, 1, 1))
    assert close(overlap(operands, OverlapOptions()), 1, 1 + 2, 1 + (4 + 3 * 2) / 4, 1 + 1)
    assert close(overlap(operands, OverlapOptions(scale=2.0)), 1, 1 + 4, 1 + 5, 1 + 2)
    against = Operands(parts=[part(1, 3), part(1, 2, weight=-1.0)], base=part(1, 1))
    with pytest.raises(InputError, match="add up to 0"):
        overlap(against, OverlapOptions())
    assert close(overlap(replace(against, base=part(1, 2)), OverlapOptions()), 1, 3)


def test_the_fisher_average_worked_by_hand() -> None:
    parts = [part(1, 4, weight=2, fisher=(1, 0)), part(3, 0, fisher=(2, 1))]
    # (2 * 1 * 1 + 2 * 3) / 4, and (2 * 0.5 * 4 + 0) / 2 with the floor 0.5
    assert close(fisher_average(Operands(parts=parts), FisherOptions(floor=0.5)), 2, 2)
    with pytest.raises(InputError, match="positive"):
        fisher_average(Operands(parts=[replace(parts[0], weight=-1.0)]), FisherOptions())


def test_elastic_weight_removal_worked_by_hand() -> None:
    base = part(2, 2, fisher=(3, 1))
    operands = Operands(parts=[part(4, 1, weight=-0.5, fisher=(2, 0))], base=base)
    # entry 1: tau 2: (3 * 2 - 0.5 * 2 * 2) / (3 + 1); entry 2, with the floor 1: (1 * 2 + 0.5 * 1 * 1) / 1.5
    assert close(ewr(operands, EwrOptions(floor=1)), 1, 2.5 / 1.5)
    assert close(ewr(operands, EwrOptions(floor=1, form="delta")), 2 - 2 / 4, 2 + 0.5 / 1.5)
    result, shares = ewr_with_shares(operands, EwrOptions(floor=1))
    assert torch.equal(result, ewr(operands, EwrOptions(floor=1)))
    assert (shares.on_floor, shares.n_fisher) == (1, 2)
    assert math.isclose(shares.shrink, (2 * (3 / 4 - 1)) ** 2 + (2 * (1 / 1.5 - 1)) ** 2)
    assert math.isclose(shares.task, (2 / 4) ** 2 + (0.5 / 1.5) ** 2)
    both = shares + shares
    assert (both.on_floor, both.n_fisher, both.task) == (2, 4, 2 * shares.task)
    assert ewr_with_shares(operands, EwrOptions(form="delta"))[1].shrink == 0


def test_equal_fisher_information_makes_elastic_weight_removal_shrink_and_subtract() -> None:
    operands = drawn("ewr")
    assert operands.base is not None
    ones = torch.ones(4, 6)
    anti_expert = replace(operands.parts[0], weight=-0.15, fisher=ones)
    same = Operands(parts=[anti_expert], base=replace(operands.base, fisher=ones))
    change = anti_expert.tensor - operands.base.tensor
    torch.testing.assert_close(ewr(same, EwrOptions()), (operands.base.tensor - 0.15 * change) / 1.15)


def transcribed_ewr(operands: Operands) -> Tensor:
    """The loop of the authors' code (MakeAndApplyTaskVectorsEWRJob), one tensor, experts before anti-experts."""
    floor = torch.tensor(1e-6)
    base, base_fisher = operands.start, operands.base.fisher if operands.base else None
    assert base_fisher is not None
    new = torch.maximum(base_fisher, floor) * base
    z = torch.maximum(base_fisher, floor)
    for p in operands.parts:
        assert p.fisher is not None
        vector = p.tensor - base if p.weight > 0 else -(p.tensor - base)
        new += abs(p.weight) * torch.maximum(p.fisher, floor) * vector
        z += abs(p.weight) * torch.maximum(p.fisher, floor)
    new /= z
    return new


def test_elastic_weight_removal_has_the_bits_of_the_authors_code() -> None:
    for seed in range(5):
        operands = drawn("ewr", (40, 30), seed)
        small = [replace(p, fisher=None if p.fisher is None else p.fisher**30) for p in operands.parts]  # some < 1e-6
        operands = replace(operands, parts=small)
        assert torch.equal(ewr(operands, EwrOptions()), transcribed_ewr(operands))


def test_cape_with_weight_removal_worked_by_hand() -> None:
    operands = Operands(parts=[part(3, weight=-0.25, fisher=(2,))], base=part(1, fisher=(4,)))
    assert close(cape_ewr(operands, FisherOptions()), (0.75 * 4 * 1 - 0.25 * 2 * 2) / (0.75 * 4 + 0.25 * 2))
    huge = Operands(parts=[part(3, weight=-0.25, fisher=(1e9,))], base=part(1, fisher=(1e6,)))
    assert close(cape_ewr(huge, FisherOptions()), 0.75 * 1 - 0.25 * 2)  # at most 1e6
    for weight in (0.25, -1.0):
        with pytest.raises(InputError, match="between -1 and 0"):
            cape_ewr(Operands(parts=[part(1, weight=weight, fisher=(1,))], base=part(1, fisher=(1,))), FisherOptions())


def test_thinning_worked_by_hand() -> None:
    change = torch.tensor([1.0, -5.0, 2.0, -3.0, 4.0])
    assert largest(change, 0.5).tolist() == [0, -5, 0, 0, 4]
    assert without_outliers(change, 0.4, 0.2).tolist() == [0, 0, 0, -3, 4]
    assert without_outliers(change, 0.8, 0.4).tolist() == [1, 0, 2, -3, 4]  # room for one outlier only
    assert as_long_as(largest(change, 0.5), change).abs().sum() == 15
    assert as_long_as(torch.zeros(2), torch.ones(2)).tolist() == [0, 0]


def test_what_is_drawn_has_the_probabilities_that_were_asked_for() -> None:
    generator = torch.Generator().manual_seed(0)
    uniform = at_random(torch.ones(200_000), 0.3, generator)
    assert abs(float(uniform.mean()) - 0.3) < 0.01
    rows = torch.arange(1.0, 6.0).repeat(40_000, 1)
    shares = (by_rank(rows, 0.5, 0.4, generator) != 0).double().mean(0)
    assert torch.allclose(shares, torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64), atol=0.01)
    with pytest.raises(InputError, match="between 0 and 1"):
        by_rank(rows, 0.9, 0.1, generator)


def test_ties_worked_by_hand() -> None:
    parts = [part(4, 1, -3, 0, density=0.5), part(-1, 2, -1, 4, density=0.5), part(2, 0.5, 3, 0.1, weight=0.5)]
    operands = Operands(parts=parts, base=part(0, 0, 0, 0))
    # trimmed: (4 0 -3 0), (0 2 0 4), (2 .5 3 .1) * .5; signs by sum: + + - +
    # entry 1: (4 + 1) / 1.5; entry 2: (2 + .25) / 1.5; entry 3: -3 / 1; entry 4: (4 + .05) / 1.5
    assert close(ties(operands, TiesOptions()), 5 / 1.5, 2.25 / 1.5, -3, 4.05 / 1.5)
    assert close(ties(operands, TiesOptions(normalize=False, scale=2)), 10, 4.5, -6, 8.1)
    votes = Operands(parts=[part(-5), part(1), part(1)], base=part(0))
    assert close(ties(votes, TiesOptions()), -5)
    assert close(ties(votes, TiesOptions(signs="count")), 1)
    assert close(ties(votes, TiesOptions(signs="none", normalize=False)), -3)


def test_random_methods_keep_the_sum_of_absolute_values() -> None:
    operands = drawn("dare", (50, 40))
    one = replace(operands, parts=operands.parts[:1])
    change = one.changes()[0]
    methods: list[tuple[Callable[..., Tensor], Section]] = [(dare, DareOptions()), (della, DellaOptions())]
    for method, options in methods:
        result = method(again(one), options) - one.start
        assert math.isclose(float(result.abs().sum()), float(change.abs().sum()), rel_tol=1e-4)
        assert 0.4 < float((result.abs() > 1e-6).double().mean()) < 0.6
    remaining = breadcrumbs(one, BreadcrumbsOptions(outliers=0.1)) - one.start
    assert int((remaining.abs() > 1e-6).sum()) == 1000
    assert float(remaining.abs().max()) < float(change.abs().max())


def test_slerp_worked_by_hand() -> None:
    operands = Operands(parts=[part(0, 2)], base=part(1, 0))
    half = math.sin(math.pi / 4)
    assert close(slerp(operands, SlerpOptions(t=0.5)), half, 2 * half)
    assert close(slerp(operands, SlerpOptions(t=0)), 1, 0)
    assert close(slerp(operands, SlerpOptions(t=1)), 0, 2)
    parallel = Operands(parts=[part(3, 0)], base=part(1, 0))
    assert close(slerp(parallel, SlerpOptions(t=0.25)), 1.5, 0)
    with pytest.raises(InputError, match="multislerp"):
        slerp(Operands(parts=[part(1), part(2)], base=part(1)), SlerpOptions())


def test_the_spherical_mean_of_two_lies_half_way_on_the_arc() -> None:
    two = Operands(parts=[part(1, 0), part(0, 1)])
    half = math.sin(math.pi / 4)
    torch.testing.assert_close(
        multislerp(two, MultiSlerpOptions()), torch.tensor([half, half], dtype=torch.float64), rtol=0, atol=1e-6
    )
    from_base = Operands(parts=[part(2, 1), part(1, 2)], base=part(1, 1))
    torch.testing.assert_close(
        multislerp(from_base, MultiSlerpOptions()),
        torch.tensor([1 + half, 1 + half], dtype=torch.float64), rtol=0, atol=1e-6,
    )  # fmt: skip
    with pytest.raises(InputError, match="cancel"):
        multislerp(Operands(parts=[part(1, 0), part(-1, 0)]), MultiSlerpOptions())


def test_model_stock_worked_by_hand() -> None:
    right_angle = Operands(parts=[part(2, 0), part(0, 2)], base=part(0, 0))
    assert close(model_stock(right_angle, ModelStockOptions()), 0, 0)  # cosine 0: the base
    sixty = Operands(parts=[part(2, 0), part(1, math.sqrt(3))], base=part(0, 0))
    step = 2 * 0.5 / 1.5
    assert close(model_stock(sixty, ModelStockOptions()), 1.5 * step, math.sqrt(3) / 2 * step)
    rows = [Part(tensor=torch.tensor(x)) for x in ([[2.0, 0.0], [2.0, 0.0]], [[0.0, 2.0], [2.0, 0.0]])]
    base = Part(tensor=torch.zeros(2, 2))
    by_row = model_stock(Operands(parts=rows, base=base), ModelStockOptions(by_row=True))
    torch.testing.assert_close(by_row, torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    with pytest.raises(InputError, match="two parts"):
        model_stock(Operands(parts=rows[:1], base=base), ModelStockOptions())


def test_sce_worked_by_hand() -> None:
    operands = Operands(parts=[part(1, 0, -1), part(1, 2, 1)], base=part(0, 0, 0))
    # mean squares 2/3 and 2: weights 1/4, 3/4; signs by sum: + + + (a tie elects plus)
    assert close(sce(operands, SceOptions()), 1, 2, 1)
    # the two entries that vary: one of them, the first of equals, is selected; (0, 2): weights 0 and 1
    assert close(sce(operands, SceOptions(density=0.5)), 0, 2, 0)


def test_isotropic_merging_makes_all_singular_values_equal() -> None:
    operands = drawn("iso_c", (5, 4))
    change = iso_c(operands, SpectralOptions()) - operands.start
    values = torch.linalg.svdvals(change)
    summed = torch.linalg.svdvals((operands.weights * operands.changes()).sum(0))
    torch.testing.assert_close(values, torch.full((4,), float(summed.mean())), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(iso_c(operands, SpectralOptions(scale=0.0)), operands.start)


def test_task_vectors_with_orthogonal_singular_vectors_are_added_by_tsv() -> None:
    first, second = torch.zeros(4, 6), torch.zeros(4, 6)
    first[0, 1], first[1, 0], second[2, 3], second[3, 2] = 3.0, 1.0, 2.0, -1.0
    operands = Operands(parts=[Part(tensor=first), Part(tensor=second)], base=Part(tensor=torch.zeros(4, 6)))
    torch.testing.assert_close(tsv_merge(operands, SpectralOptions(scale=0.5)), 0.5 * (first + second))


def test_tensors_that_are_no_matrices_are_averaged_by_spectral_methods() -> None:
    operands = Operands(parts=[part(2, 4), part(4, 0)], base=part(1, 1))
    for method in (iso_c, tsv_merge):
        assert close(method(operands, SpectralOptions()), 3, 2)


def test_a_method_added_to_the_table_is_a_function_and_its_options() -> None:
    largest_part = MergeMethod(
        function=lambda operands, options: operands.tensors.amax(0), Options=AverageOptions, needs_base=False
    )
    assert close(merge(largest_part, Operands(parts=[part(1, 5), part(2, 3)]), AverageOptions()), 2, 5)
    with pytest.raises(InputError, match="nothing is left"):
        merge(largest_part, Operands(parts=[part(1, weight=0)]), AverageOptions())
