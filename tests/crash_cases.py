"""Runs that take a second, in processes of their own, on a disk of which one operation fails."""

import errno
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fork_cases import in_child
from job_cases import outcome

from polyray.files.disk import Disk, Point, using

Fault = Literal["EIO", "ENOSPC", "short write", "SIGKILL"]
FAULTS: tuple[Fault, ...] = ("EIO", "ENOSPC", "short write", "SIGKILL")
KILLS = ("short write", "SIGKILL")
WRITES = (Point.CONTENT_WRITTEN, Point.FILE_WRITTEN, Point.LINE_APPENDED)  # elsewhere a "short write" ends after it
FOLDERS = ("adapted", "start", "ticket", "videos")  # of runs, beside those of `outcome`
Scenario = Callable[[Path], object]
Record = Callable[[str, object], None]


class FailingDisk(Disk):
    """The real disk; its operation `number` (from 1) fails, and all are counted.

    points: how often each point was passed, read by the process that made this one, too.
    """

    def __init__(self, number: int, fault: Fault, journal: Path) -> None:
        self.number, self.fault, self.count = number, fault, 0
        self.journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def act(self, point: Point, path: Path, action: Callable[[], object]) -> None:
        """Change the disk, or fail."""
        self.count += 1
        os.write(self.journal, f"{point.name}\n".encode())
        if self.count != self.number:
            action()
            return
        if self.fault == "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "short write":
            before = path.stat().st_size if path.is_file() else 0
            action()
            if point in WRITES:
                os.truncate(path, (before + path.stat().st_size) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        number = errno.EIO if self.fault == "EIO" else errno.ENOSPC
        raise OSError(number, os.strerror(number))


@dataclass(frozen=True)
class Ending:
    """The end of a process: 0, 1 for an exception, or minus the signal; and its standard error, with the traceback."""

    code: int
    errors: str


def in_process(action: Callable[[], object]) -> Ending:
    """Call `action` in a forked process, and wait for its end."""
    with tempfile.TemporaryFile() as errors:

        def quietly() -> None:
            os.dup2(errors.fileno(), 2)
            sys.stderr = os.fdopen(2, "w", closefd=False)  # pytest has put another one there
            action()

        code = os.waitstatus_to_exitcode(os.waitpid(in_child(quietly), 0)[1])
        errors.seek(0)
        return Ending(code, errors.read().decode(errors="replace"))


def unbroken(scenario: Scenario, out: Path) -> dict[str, bytes]:
    """The outcome of a run that nothing disturbs.

    It runs in this process, so that those forked from it need not import and compile all of it again.
    """
    scenario(out)
    return everything(out)


def everything(out: Path) -> dict[str, bytes]:
    """Every byte of a run that must not depend on when it was killed."""
    others = [path for name in FOLDERS for path in (out / name).rglob("*")]
    files = [path for path in sorted([*others, *out.glob("cloning.json")]) if path.is_file()]
    return {**outcome(out), **{str(path.relative_to(out)): path.read_bytes() for path in files}}


@dataclass(frozen=True, kw_only=True)
class Crashes:
    """Outcome of a scenario in which each operation failed in turn.

    n: operations that failed. points: how often each named point was passed. wrong: one line for each run that was not
    resumed to the same bytes.
    """

    n: int
    points: Counter[str]
    wrong: Sequence[str]


def crashes(
    scenario: Scenario, folder: Path, faults: Sequence[Fault] = FAULTS, *, first: int = 1, every: int = 1,
    start: Callable[[Path], object] = lambda _: None,
) -> Crashes:  # fmt: skip
    """Let operation number first, first + every, ... of a run fail, up to its last; resume each.

    Args:
        faults: all of them at each operation, if `every` is 1; else one after the other.
        start: fills the run folder, which does not exist yet, before the scenario that is disturbed.
    """
    disturbance = Disturbance(scenario=scenario, folder=folder, start=start)
    operations, expected = disturbance.undisturbed()
    wrong, n = [], 0
    for turn, number in enumerate(range(first, operations + 1, every)):
        for fault in faults if every == 1 else [faults[turn % len(faults)]]:
            n += 1
            wrong += disturbance.at(number, fault, expected)
    return Crashes(n=n, points=Counter(disturbance.journal.read_text().split()), wrong=wrong)


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """Runs of a scenario in `folder`, each of which one fault disturbs; see `crashes`."""

    scenario: Scenario
    folder: Path
    start: Callable[[Path], object]

    @property
    def journal(self) -> Path:
        """File with the name of each point that was passed, a line each."""
        return self.folder / "journal"

    def undisturbed(self) -> tuple[int, dict[str, bytes]]:
        """Operations of a run that nothing disturbs, and its outcome."""
        out = self.folder / "unbroken"
        self.start(out)
        with using(FailingDisk(0, "EIO", self.journal)):
            expected = unbroken(self.scenario, out)
        return len(self.journal.read_text().split()), expected

    def at(self, number: int, fault: Fault, expected: dict[str, bytes]) -> list[str]:
        """Let that operation fail, and go on with the run: what differs then from the `expected` outcome."""
        out, name = self.folder / "run", f"{fault} at operation {number}"
        self.start(out)
        first, resumed = self._run(out, number, fault), self._run(out)
        killed = first.code == -signal.SIGKILL
        content = everything(out)
        odd = [file for file in sorted({*expected, *content}) if content.get(file) != expected.get(file)]
        remains = [str(path.relative_to(out)) for path in out.rglob(".*") if path.name != ".lock"]
        shutil.rmtree(out, ignore_errors=True)
        if killed != (fault in KILLS):
            return [f"{name}: the run " + ("was killed" if killed else f"never came to it\n{first.errors}")]
        if resumed.code:
            return [f"{name}: the resumed run ended with {resumed.code}\n{resumed.errors}"]
        return [f"{name}: {odd[0]} differs"] if odd else [f"{name}: {remains[0]} was left"] if remains else []

    def _run(self, out: Path, number: int = 0, fault: Fault = "EIO") -> Ending:
        """End of a run whose operation `number` fails; 0: none does."""

        def run() -> None:
            with using(FailingDisk(number, fault, self.journal)):
                self.scenario(out)

        return in_process(run)


def of_finished(finished: Path, *losses: str) -> Callable[[Path], Any]:
    """Starter of a run from a copy of the `finished` one, in which files or folders of these patterns are missing."""

    def start(out: Path) -> None:
        shutil.copytree(finished, out)
        for path in [path for loss in losses for path in out.glob(loss)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return start


def check(record: Record, *results: Crashes, points: Sequence[Point] = tuple(Point)) -> None:
    """Nothing went wrong, and every point was passed; the figures are those of docs/reliability.md."""
    passed = sum((result.points for result in results), Counter[str]())
    record("crash points", sum(result.n for result in results))
    record("crash points that went wrong", sum(len(result.wrong) for result in results))
    wrong = [line for result in results for line in result.wrong]
    assert not wrong, "\n".join(wrong)
    missed = [point.name for point in points if not passed[point.name]]
    assert not missed, f"points that were never reached: {missed}"


def check_every_operation(
    record: Record, job: Scenario, folder: Path, losses: Sequence[str], points: Sequence[Point] = tuple(Point)
) -> None:
    """Let every operation of the job fail, in a new folder and over a finished run that lost these files.

    Args:
        losses: patterns of the files' names.
        points: all must be passed.
    """
    unbroken(job, folder / "finished")
    again = of_finished(folder / "finished", *losses)
    (folder / "new").mkdir()
    (folder / "again").mkdir()
    check(record, crashes(job, folder / "new"), crashes(job, folder / "again", start=again), points=points)
