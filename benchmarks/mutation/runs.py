"""Runs of pytest in a tree, each in a new process that ends together with its children."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.mutation.plugin import ORDER, OUTCOMES
from benchmarks.mutation.trees import Tree

PYTEST = (sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider")
SUCCESS, FAILURES, NOTHING_RAN = 0, 1, 5  # exit codes of pytest


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Exit code of pytest (None: out of time), seconds of each test, the tests that failed, and the output."""

    code: int | None
    seconds: Mapping[str, float] = field(default_factory=dict)
    failed: Sequence[str] = ()
    output: str = ""


class Pytest:
    """Runs pytest, and ends what still runs when it is stopped."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[str]] = set()

    def run(
        self, tree: Tree, *options: str, order: Sequence[str] | None = None, timeout: float | None = None,
        before: Sequence[Path] = (), variables: Mapping[str, str] | None = None,
    ) -> Outcome:  # fmt: skip
        """Run the default tests of a tree, or only those in `order`, one after the other.

        Args:
            options: more options of pytest.
            timeout: seconds until the process and its children are killed.
            before, variables: folders before all others on the path of imports, and environment variables.
        """
        with tempfile.TemporaryDirectory(prefix="polyray-pytest-") as name:
            folder = Path(name)
            files = [*(variables or {}).items(), (OUTCOMES, str(folder / "outcomes.json"))]
            command = [*PYTEST, "-p", "benchmarks.mutation.plugin", f"--basetemp={folder / 'files'}", *options]
            if order is not None:
                (folder / "order.json").write_text(json.dumps(list(order)), encoding="utf-8")
                files.append((ORDER, str(folder / "order.json")))
                command += ["-p", "no:xdist", *dict.fromkeys(test.partition("::")[0] for test in order)]
            code, output = self._wait(command, tree, {**tree.environment(*before), **dict(files)}, timeout)
            outcomes = {}
            if (folder / "outcomes.json").exists():
                outcomes = json.loads((folder / "outcomes.json").read_text(encoding="utf-8"))
            return Outcome(code=code, output=output, **outcomes)

    def stop(self) -> None:
        """Kill every process that still runs, with its children."""
        for process in list(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _wait(
        self, command: Sequence[str], tree: Tree, environment: Mapping[str, str], timeout: float | None
    ) -> tuple[int | None, str]:
        process = subprocess.Popen(
            command, cwd=tree.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self._processes.add(process)
        try:
            output, _ = process.communicate(timeout=timeout)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            with contextlib.suppress(ProcessLookupError):  # children too, of a process that has ended as well
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._processes.discard(process)
