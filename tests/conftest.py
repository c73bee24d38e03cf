"""Settings and fixtures for every test."""

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

torch.set_num_threads(1)  # tests run side by side, and one thread gives the same bits everywhere
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the same for the programs that tests start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that call Ray in pytest's own process come last: it cannot be forked afterwards as `ray_cases.Run` does."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is not None and "cluster" in item.path.parts)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with the real data: POLYRAY_DATA, or ../shared/data beside the repository."""
    folder = Path(os.environ.get("POLYRAY_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"there is no folder {folder}: set POLYRAY_DATA to the folder with the real data")
    return folder
