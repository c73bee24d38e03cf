"""Limits of time in tests of Ray: they are for a machine that has nothing else to do, and grow with its load."""

import os
import time
from pathlib import Path

import pytest
from conftest import pytest_collection_modifyitems
from fork_cases import in_child
from ray_cases import Run, slowness


def load(monkeypatch: pytest.MonkeyPatch, for_each_core: float) -> None:
    """Pretend that so many processes want each core."""
    n_cores = os.cpu_count() or 1
    monkeypatch.setattr(os, "getloadavg", lambda: (for_each_core * n_cores, 0.0, 0.0))


def a_run(folder: Path, seconds: float) -> Run:
    """A run whose process does nothing for so long, and then ends with 0."""
    run = Run.__new__(Run)  # it would start the command line
    run.output, run.code, run.pid = folder / "output", None, in_child(lambda: time.sleep(seconds))
    run.output.write_text("step 1")
    return run


def test_a_run_is_waited_for_longer_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load(monkeypatch, 20)
    assert slowness() == 20
    assert a_run(tmp_path, 0.3).wait(seconds=0.1) == 0
    load(monkeypatch, 0.1)
    assert slowness() == 1
    with pytest.raises(pytest.fail.Exception, match=r"did not end within 0\.1 s: step 1"):
        a_run(tmp_path, 60).wait(seconds=0.1)


class Item:
    """A test as pytest collects it, with these marks."""

    def __init__(self, *marks: pytest.MarkDecorator) -> None:
        self.marks = [decorator.mark for decorator in marks]
        self.path = Path("tests/cluster/test_x.py")

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        """The first mark of this name."""
        return next((mark for mark in self.marks if mark.name == name), None)

    def add_marker(self, marker: pytest.MarkDecorator, append: bool) -> None:
        """Put a mark before the others."""
        assert not append
        self.marks.insert(0, marker.mark)

    @property
    def limit(self) -> float:
        """Seconds that it may take."""
        mark = self.get_closest_marker("timeout")
        assert mark is not None
        seconds: float = mark.args[0]
        return seconds


def test_limits_of_the_tests_of_ray_alone_grow_with_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    for busy, of_ray in ((7.5, 2250.0), (0.5, 300.0)):
        load(monkeypatch, busy)
        items = [Item(pytest.mark.timeout(300), pytest.mark.ray), Item(pytest.mark.timeout(300))]
        pytest_collection_modifyitems(items)  # type: ignore[arg-type]  # what it uses of pytest's items, they have
        assert sorted(item.limit for item in items) == sorted([300, of_ray])
