"""Plugin of pytest: runs the tests that the file ORDER lists, in its order, and writes how each went to OUTCOMES."""

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from benchmarks.mutation.tracing import TRACE, finish, test_context

ORDER, OUTCOMES = "MUTATION_ORDER", "MUTATION_OUTCOMES"
IS_WORKER = "PYTEST_XDIST_WORKER"

_seconds: dict[str, float] = {}
_failed: list[str] = []


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave only the listed tests, in the order of the list."""
    if ORDER not in os.environ:
        return
    names = json.loads(Path(os.environ[ORDER]).read_text(encoding="utf-8"))
    positions = {name: position for position, name in enumerate(names)}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in positions])
    items[:] = sorted((item for item in items if item.nodeid in positions), key=lambda item: positions[item.nodeid])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tell the tracer which test runs."""
    if TRACE not in os.environ:
        return (yield)
    with test_context(item.nodeid):
        return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the seconds of a test's phases."""
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration
    if report.failed:
        _failed.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be imported fails too."""
    if report.failed:
        _failed.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Write the outcomes; a worker of pytest-xdist leaves that to the process that it reports to."""
    if TRACE in os.environ:
        finish()
    if IS_WORKER not in os.environ:
        Path(os.environ[OUTCOMES]).write_text(json.dumps({"seconds": _seconds, "failed": _failed}), encoding="utf-8")
