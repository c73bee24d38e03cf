"""Selection of exactly K entries of many tensors: by a radix search as by a sort, by several workers as by one."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polyray.sparsity import Distances, Exchange, distances, largest, largest_plainly
from polyray.sparsity.largest import index_type

NUMBERS = torch.tensor([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1 + 2**-20, 2.0, 1e-40, 1e30, float("inf")])
"""Few different numbers, so that ties are the rule; two that differ in their last bits only; a denormal one."""
TYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64])


@st.composite
def pairs(draw: st.DrawFn) -> Distances:
    """Up to four tensors, perhaps empty ones, with an origin or without."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    shapes = draw(st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=1, max_size=4))
    types = [draw(TYPES) for _ in shapes]

    def drawn(numbers: Tensor) -> dict[str, Tensor]:
        tensors = {}
        for index, (shape, dtype) in enumerate(zip(shapes, types, strict=True)):
            tensor = numbers[torch.randint(len(numbers), shape, generator=generator)].to(dtype)
            tensors[f"tensor {index}"] = tensor.mT if index == 1 and tensor.dim() > 1 else tensor
        return tensors

    tensors = drawn(NUMBERS)
    return Distances(tensors, drawn(NUMBERS[:-2]) if draw(st.booleans()) else None)


def lists(selected: dict[str, Tensor]) -> dict[str, list[int]]:
    return {name: indices.tolist() for name, indices in selected.items()}


@settings(max_examples=40)
@given(pairs(), st.data())
def test_the_radix_search_selects_what_a_stable_sort_selects(pair: Distances, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, pair.n_entries))
    selected = largest(pair, k)
    assert sum(map(len, selected.values())) == k
    assert lists(selected) == lists(largest_plainly(pair, k))


def test_ties_end_at_the_same_entry_whether_a_tensor_is_one_block_or_many(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    pair = Distances({name: torch.randint(3, (7, 11), generator=generator).float() for name in "ab"})
    monkeypatch.setattr(distances, "BLOCK", 10)
    for k in (1, 40, 70, 153):
        assert lists(largest(pair, k)) == lists(largest_plainly(pair, k))


def test_the_smallest_index_type_is_used() -> None:
    assert index_type(2**31 - 1) == torch.int32 and index_type(2**31) == torch.int64
    assert largest(Distances({"a": torch.ones(3)}), 1)["a"].dtype == torch.int32


class Team:
    """Workers in threads of one process, which wait for each other; each has some of the tensors."""

    def __init__(self, shards: Sequence[dict[str, Tensor]]) -> None:
        self.shards, self.barrier = shards, threading.Barrier(len(shards), timeout=30)
        self.shared: list[Tensor] = [torch.zeros(0)] * len(shards)

    def gather(self, rank: int, tensor: Tensor) -> Tensor:
        self.barrier.wait()
        self.shared[rank] = tensor
        self.barrier.wait()
        return torch.stack(self.shared)

    def select(self, rank: int, k: int) -> dict[str, Tensor]:
        exchange = Exchange(
            add=lambda counts: self.gather(rank, counts).sum(0),
            before=lambda number: int(self.gather(rank, torch.tensor(number))[:rank].sum()),
        )
        return largest(Distances(self.shards[rank]), k, exchange)


def test_workers_that_add_their_counts_select_as_one_process_does() -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {name: torch.randint(-3, 4, (5, 9), generator=generator).float() for name in "abcd"}
    team = Team([{"a": tensors["a"]}, {"b": tensors["b"], "c": tensors["c"]}, {"d": tensors["d"]}])
    with ThreadPoolExecutor(3) as pool:
        for k in (0, 1, 60, 150, 180):
            of_workers = list(pool.map(lambda rank, k=k: team.select(rank, k), range(3)))
            joined = {name: indices for selected in of_workers for name, indices in selected.items()}
            assert lists(joined) == lists(largest_plainly(Distances(tensors), k))


def test_what_cannot_be_compared_is_refused_with_the_name_of_its_tensor() -> None:
    fine, nan = torch.ones(3), torch.tensor([1.0, float("nan"), float("inf")])
    with pytest.raises(ValueError, match="^b holds NaN"):
        largest(Distances({"a": fine, "b": nan}), 1)
    with pytest.raises(ValueError, match="^c holds NaN"):  # infinity has no distance from itself
        largest(Distances({"a": fine, "c": fine / 0}, {"a": fine, "c": fine / 0}), 1)
    with pytest.raises(ValueError, match="b is of the type torch.int64"):
        Distances({"a": fine, "b": fine.long()})
    for origin in ({"a": fine}, {"a": fine, "b": fine[:2]}):
        with pytest.raises(ValueError, match="differ in name, shape or device: b"):
            Distances({"a": fine, "b": fine}, origin)
    for k in (-1, 4):
        with pytest.raises(ValueError, match="between 0 and the 3 entries"):
            largest(Distances({"a": fine}), k)


def test_small_changes_of_half_precision_are_compared_exactly() -> None:
    start = torch.tensor([1.0, 256.0], dtype=torch.bfloat16)
    trained = torch.tensor([1.0 + 2**-7, -1.0], dtype=torch.bfloat16)  # 2^-7 and 257, which bf16 rounds to 256
    other = torch.tensor([256.5], dtype=torch.float32)
    pair = Distances({"a": trained, "b": other}, {"a": start, "b": torch.zeros(1)})
    assert lists(largest(pair, 1)) == {"a": [1], "b": []}
