"""Lines that a process runs, and in which test, by coverage.py; processes that a test starts are traced too.

A traced process has a sitecustomize.py on its path that calls `start`. The variable TRACE holds the folder for the data
and the patterns of the files to trace, TEST the test in which a child process was started.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import coverage

TRACE, TEST = "MUTATION_TRACE", "MUTATION_TEST"
HOOK = "from benchmarks.mutation.tracing import start\n\nstart()\n"


def settings(data: Path, patterns: Sequence[str]) -> dict[str, str]:
    """Variables of a traced process."""
    return {TRACE: json.dumps({"data": str(data), "patterns": list(patterns)})}


def start() -> None:
    """Trace this process from here to its end, where TRACE is set."""
    if TRACE not in os.environ:
        return
    values = json.loads(os.environ[TRACE])
    recorder = coverage.Coverage(
        data_file=values["data"], data_suffix=True, config_file=False, include=values["patterns"], messages=False,
        context=os.environ.get(TEST), auto_data=True,
    )  # fmt: skip
    recorder.set_option("run:patch", ["_exit", "fork"])
    recorder.set_option("run:disable_warnings", ["no-data-collected"])  # of a process that runs nothing of the library
    recorder.start()
    os.register_at_fork(after_in_child=_resume)


def _resume() -> None:
    """Tell the new tracer of a forked child in which test it was started."""
    recorder = coverage.Coverage.current()
    if recorder is not None:
        recorder.switch_context(os.environ.get(TEST, ""))


@contextlib.contextmanager
def test_context(name: str) -> Iterator[None]:
    """A block whose lines count as run by the test called `name`, in child processes too."""
    recorder = coverage.Coverage.current()
    os.environ[TEST] = name
    if recorder is not None:
        recorder.switch_context(name)
    try:
        yield
    finally:
        del os.environ[TEST]
        if recorder is not None:
            recorder.switch_context("")


def finish() -> None:
    """Write what was traced; a worker of pytest-xdist may end without doing so."""
    recorder = coverage.Coverage.current()
    if recorder is not None:
        recorder.stop()
        recorder.save()


def read(data: Path) -> Mapping[str, Mapping[int, set[str]]]:
    """The tests that ran each line of each file; the test "" stands for imports."""
    tests: dict[str, dict[int, set[str]]] = {}
    for file in data.parent.glob(f"{data.name}.*"):
        recorded = coverage.CoverageData(basename=str(file))
        recorded.read()
        for source in recorded.measured_files():
            lines = tests.setdefault(source, {})
            for line, contexts in recorded.contexts_by_lineno(source).items():
                lines.setdefault(line, set()).update(contexts)
    return tests
