"""Selection of the entries that a sparse change keeps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polyray.sparsity import keep_largest

# Few different values, so that ties are the rule; infinities and signed zeros among them.
VALUES = st.sampled_from([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, float("inf"), float("-inf")])


@st.composite
def changes(draw: st.DrawFn) -> Tensor:
    """A tensor of up to three dimensions, perhaps empty."""
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    n = int(torch.Size(shape).numel())
    return torch.tensor(draw(st.lists(VALUES, min_size=n, max_size=n))).view(shape)


def slowly(change: Tensor, k: int) -> list[bool]:
    """The mask, flattened, from a sort of (distance from zero, position)."""
    values = change.flatten().tolist()
    order = sorted(range(len(values)), key=lambda position: (-abs(values[position]), position))
    return [position in order[:k] for position in range(len(values))]


@settings(max_examples=40)
@given(changes(), st.data())
def test_the_mask_is_the_slow_one(change: Tensor, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, change.numel()))
    mask = keep_largest(change, k)
    assert mask.shape == change.shape and mask.dtype == torch.bool
    assert int(mask.sum()) == k
    assert mask.flatten().tolist() == slowly(change, k)


@settings(max_examples=20)
@given(changes(), st.data())
def test_a_smaller_selection_lies_inside_a_larger_one_and_signs_do_not_matter(
    change: Tensor, data: st.DataObject
) -> None:
    k = data.draw(st.integers(0, change.numel()))
    fewer = data.draw(st.integers(0, k))
    assert not (keep_largest(change, fewer) & ~keep_largest(change, k)).any()
    assert torch.equal(keep_largest(-change, k), keep_largest(change, k))


def test_equal_entries_are_kept_from_the_first_one_on() -> None:
    change = torch.tensor([[1.0, -3.0, 1.0], [-1.0, 3.0, 0.0]])
    assert keep_largest(change, 3).tolist() == [[True, True, False], [False, True, False]]


def test_a_selection_that_does_not_exist_is_refused() -> None:
    for k in (-1, 3):
        with pytest.raises(ValueError, match="between 0 and the 2 entries"):
            keep_largest(torch.ones(2), k)
    with pytest.raises(ValueError, match="NaN"):
        keep_largest(torch.tensor([1.0, float("nan")]), 1)
