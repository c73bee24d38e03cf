"""Cases that are tried by several processes, each outcome kept in a file, so that a killed benchmark goes on."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from fork_cases import in_child

from benchmarks.reliability import ROOT
from benchmarks.reliability.experiments import Attempt, Experiment

SOURCES = ("platform/**/*.py", "jobs/**/*.py", "envs/**/*.py", "tests/*_cases.py", "tests/crash_*.py")
GOLDEN = 0.6180339887498949  # multiples of it are spread evenly modulo 1, however many


@cache
def version() -> str:
    """Digest of the code that is tried."""
    files = sorted(path for pattern in SOURCES for path in ROOT.glob(pattern))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of an experiment's cases in a file of JSON lines, of which those of other versions do not count."""

    file: Path

    def lines(self) -> list[dict[str, Any]]:
        """Notes of this version; a line that a killed process left half-written is skipped."""
        lines = []
        for text in self.file.read_text(encoding="utf-8").split("\n") if self.file.exists() else ():
            with suppress(json.JSONDecodeError):
                lines.append(json.loads(text))
        return [line for line in lines if line["version"] == version()]

    def add(self, **fields: object) -> None:
        """Note something; several processes may at once."""
        line = json.dumps({"version": version(), **fields})
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as stream:
            stream.write(f"\n{line}\n".encode())  # the last line may be half-written

    @property
    def n_cases(self) -> int:
        """Number of cases; 0 where it is not known yet."""
        counts = [line["cases"] for line in self.lines() if "cases" in line]
        return int(counts[-1]) if counts else 0

    @property
    def wrong(self) -> dict[str, list[str]]:
        """Faults by case, of all cases that were tried."""
        return {line["case"]: line["wrong"] for line in self.lines() if "case" in line}


def spread(cases: Sequence[str]) -> list[str]:
    """The cases in an order whose beginnings are spread evenly over all of them."""
    order = sorted(range(len(cases)), key=lambda index: (index + 1) * GOLDEN % 1)
    return [cases[index] for index in order]


def try_cases(experiment: Experiment, outcomes: Outcomes, sample: int | None, jobs: int) -> None:
    """Try the cases of an experiment that were not tried before.

    Args:
        sample: how many are to have been tried at the end; None: all.
        jobs: processes that share them.
    """
    if _is_enough(outcomes, sample):
        return
    with tempfile.TemporaryDirectory(prefix="reliability-") as scratch:
        cases, attempt = experiment.prepare(Path(scratch))
        outcomes.add(cases=len(cases))
        tried = outcomes.wrong.keys()
        remaining = [case for case in spread(cases)[:sample] if case not in tried]
        _share(remaining, partial(_try, attempt, outcomes), Path(scratch), jobs)


def _is_enough(outcomes: Outcomes, sample: int | None) -> bool:
    n_cases = outcomes.n_cases
    return 0 < n_cases and len(outcomes.wrong) >= min(n_cases, sample or n_cases)


def _try(attempt: Attempt, outcomes: Outcomes, case: str, folder: Path) -> None:
    """Try one case, and note its outcome; one that is interrupted has none."""
    started = time.monotonic()
    wrong = attempt(case, folder)
    outcomes.add(case=case, wrong=wrong, seconds=round(time.monotonic() - started, 2))
    if wrong:
        print("\n".join(wrong), flush=True)


def _share(cases: Sequence[str], attempt: partial[None], scratch: Path, jobs: int) -> None:
    """Try the cases in `jobs` forked processes, which end with this one.

    Raises:
        RuntimeError: one of them failed.
    """
    parent = os.getpid()

    def work(index: int) -> None:
        folder = scratch / f"worker-{index}"  # as deep as runs of `prepare`: cards hold relative paths
        folder.mkdir()
        for case in cases[index::jobs]:
            if os.getppid() != parent:  # it was killed
                return
            attempt(case, folder)

    children = [in_child(partial(work, index)) for index in range(jobs)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if any(codes):
        raise RuntimeError(f"Processes that try cases ended with {codes}.")
