"""Settings and fixtures for every test."""

import gc
import io
import logging
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from signal_cases import handle_signals_as_usual

from polyray.runs.stopping import SIGNALS

ROOT = Path(__file__).resolve().parents[1]
MARKS_OF_FILE = re.compile(r"^pytestmark = (\[.*?^\]|.*?$)", re.MULTILINE | re.DOTALL)

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the programs that tests start, as for the tests, see below
gc.disable()  # while modules are imported, whose objects stay: it would take a fifth of that time, again and again


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files whose tests `-m` all excludes: importing them brings RLlib and more along."""
    if not collection_path.match("test_*.py"):
        return None
    excluded = set(re.findall(r"\bnot (\w+)", config.option.markexpr))
    marks = MARKS_OF_FILE.search(collection_path.read_text(encoding="utf-8"))
    return (marks is not None and not excluded.isdisjoint(re.findall(r"pytest\.mark\.(\w+)", marks[1]))) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests last that call Ray in pytest's own process: it cannot be forked afterwards as `ray_cases.Run` does.

    Limits of Ray's tests in time are for a machine that has nothing else to do; they grow with its load.
    """
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # others want the cores, too
    for item in items:
        limit = item.get_closest_marker("timeout")
        if limit is not None and item.get_closest_marker("ray") is not None:
            item.add_marker(pytest.mark.timeout(busy * limit.args[0]), append=False)
    items.sort(key=lambda item: item.get_closest_marker("ray") is not None and "cluster" in item.path.parts)


def pytest_collection_finish() -> None:
    """Collect garbage from here on, but not among what was imported; give torch one thread.

    Tests run side by side, and one thread gives the same bits everywhere. The process that hands tests out to others
    collects none, and does not wait for torch.
    """
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def syncs_without_waiting() -> Iterator[None]:
    """Syncs of files return at once, in this process: no test cuts the power, for which there is `simulated_disk`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # it refuses what is no descriptor, too
        yield


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """Signals as in a terminal while the test runs."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handle_signals_as_usual()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Warnings that the library logs during the test.

    pytest's own plugin is left out: around each test it adds handlers to the loggers of all libraries.
    """
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)
    yield text
    logging.getLogger().removeHandler(handler)


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


@pytest.fixture(scope="session")
def pretrained() -> Callable[[str], Path]:
    """Name -> folder of a pretrained network: in POLYRAY_PRETRAINED, or in ../shared/pretrained."""
    folder = Path(os.environ.get("POLYRAY_PRETRAINED", ROOT.parent / "shared" / "pretrained"))

    def find(name: str) -> Path:
        if not (folder / name / "config.json").is_file():
            pytest.skip(f"there is no network in {folder / name}: set POLYRAY_PRETRAINED to the folder with {name}")
        return folder / name

    return find
