"""Vectors that are set aside are read and written like others, and zeros are zeros."""

from pathlib import Path

import pytest
import torch

from polyray.training import aside
from polyray.training.aside import set_aside
from polyray.training.gathering import untouched_zeros


def test_a_large_vector_lies_in_a_file_without_a_name_and_a_small_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(aside, "SMALL", 3)
    for dtype in (torch.float32, torch.float64):
        for size in (3, 5):
            vector = torch.randn(size, dtype=dtype)
            copy, before = set_aside(vector), vector.clone()
            vector.zero_()
            assert torch.equal(copy, before) and copy.dtype == dtype
            mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
            assert bool(mapped) == (size > 3) and not list(tmp_path.iterdir())
            copy += 1
            assert torch.equal(copy, before + 1)
            del copy


def test_zeros_that_are_not_yet_touched_are_zeros_of_the_vector_s_type() -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        zeros = untouched_zeros(torch.ones(5, dtype=dtype))
        assert torch.equal(zeros, torch.zeros(5, dtype=dtype)) and zeros.dtype == dtype
        zeros += 1
        assert zeros.tolist() == [1.0] * 5
