"""Nested state on disk: what is written comes back with the same types, shapes and bits."""

import math
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from polyray.runs.state import STORABLE, load_state, save_state

ARRAY_TYPES = ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32",
               "float64", "complex64")  # fmt: skip

arrays = st.sampled_from(ARRAY_TYPES).flatmap(lambda name: npst.arrays(name, npst.array_shapes(min_dims=0, min_side=0)))


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """Random bits of any storable type, some of them transposed."""
    dtype = draw(st.sampled_from(sorted(STORABLE, key=str)))
    shape = draw(npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    length = math.prod(shape) * dtype.itemsize
    if not length:
        return torch.empty(shape, dtype=dtype)
    bits = bytearray(draw(st.binary(min_size=length, max_size=length)))
    if dtype is torch.bool:
        bits = bytearray(byte % 2 for byte in bits)
    tensor = torch.frombuffer(bits, dtype=dtype).reshape(shape)
    return tensor.mT if tensor.dim() > 1 and draw(st.booleans()) else tensor


scalars = arrays.filter(lambda array: array.size > 0).map(lambda array: array.flat[0])
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | arrays | tensors() | scalars
)
keys = st.text() | st.integers() | st.sampled_from(["$tensor", "$items", "a/b", "__metadata__", "", "state"])
states = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner), max_leaves=12
)


def same(first: Any, second: Any) -> bool:
    """Whether two states have equal types, shapes and bits everywhere."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(same(*pair) for pair in zip(first, second, strict=True))
    if isinstance(first, torch.Tensor):
        return (first.dtype, first.shape, bits_of(first)) == (second.dtype, second.shape, bits_of(second))
    if isinstance(first, np.ndarray | np.generic):
        return (first.dtype, first.shape, first.tobytes()) == (second.dtype, second.shape, second.tobytes())
    if isinstance(first, float):
        return (math.isnan(first) and math.isnan(second)) or (repr(first) == repr(second))
    return bool(first == second)


def bits_of(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def there_and_back(state: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        save_state(Path(folder) / "state", state)
        assert sorted(file.name for file in Path(folder).iterdir()) == ["state.json", "state.safetensors"]
        return load_state(Path(folder) / "state")


@given(states)
@settings(max_examples=60, deadline=None)
def test_every_state_comes_back_with_the_same_types_shapes_and_bits(state: Any) -> None:
    assert same(there_and_back(state), state)


def test_paths_that_read_alike_are_kept_apart() -> None:
    one, two, three = torch.zeros(1), torch.ones(2), torch.full((3,), 2.0)
    state = {"a/b": one, "a": {"b": two}, 1: three, "1": one, "__metadata__": two}
    assert same(there_and_back(state), state)


def test_generators_go_on_where_they_were() -> None:
    torch_generator, numpy_generator = torch.Generator().manual_seed(3), np.random.default_rng(4)
    torch.rand(5, generator=torch_generator), numpy_generator.random(5)
    state = there_and_back({"torch": torch_generator.get_state(), "numpy": numpy_generator.bit_generator.state})
    restored_torch, restored_numpy = torch.Generator(), np.random.default_rng(0)
    restored_torch.set_state(state["torch"])
    restored_numpy.bit_generator.state = state["numpy"]
    assert torch.equal(torch.rand(9, generator=restored_torch), torch.rand(9, generator=torch_generator))
    assert np.array_equal(restored_numpy.random(9), numpy_generator.random(9))


def test_tensors_that_share_memory_or_have_gradients_come_back_as_plain_ones() -> None:
    whole = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    state = there_and_back(OrderedDict(row=whole[1], column=whole[:, 1], whole=whole))
    assert type(state) is dict
    assert not state["whole"].requires_grad and type(state["whole"]) is torch.Tensor
    assert state["row"].tolist() == [3.0, 4.0, 5.0] and state["column"].tolist() == [1.0, 4.0]


def test_what_cannot_be_stored_is_named_by_its_path(tmp_path: Path) -> None:
    class Word(str):
        __slots__ = ()

    wrong = [object(), Word("a"), {1, 2}, np.array(["a"]), np.array([object()]), np.datetime64("2020-01-01"),
             np.zeros(2, ">i4"), torch.zeros(2, dtype=torch.complex128), torch.eye(2).to_sparse(), 1j]  # fmt: skip
    for value in wrong:
        with pytest.raises(TypeError, match=r"state\[layers\]\[1\]"):
            save_state(tmp_path / "state", {"layers": [0, value]})
    assert not list(tmp_path.iterdir())


def test_a_word_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "state", {})
    (tmp_path / "state.json").write_text('{"$matrix": 1}')
    with pytest.raises(ValueError, match=r"\$matrix.*newer"):
        load_state(tmp_path / "state")
