"""Runs that take a second, in processes of their own, on a disk of which one operation fails."""

import contextlib
import errno
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from fork_cases import in_child
from job_cases import TINY_SUITE, outcome
from rich.console import Console
from small_job import CountingConfig, count

from polyray.cluster.launch import run_job
from polyray.cluster.train import RayWorker
from polyray.config import load_config
from polyray.files.disk import Disk, Point, using
from polyray.jobs import adapt
from polyray.reports import report
from polyray.reports.sections import SECTIONS
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.training import multitask
from polyray.training.fewshot import adapt_group
from polyray.training.pieces import AdaptationRecipe
from polyray.training.recipe import TrainingRecipe

__all__ = ["FAULTS", "Scenario", "adaptation", "crashes", "in_process", "language", "outcome", "resumed", "unbroken"]

Fault = Literal["EIO", "ENOSPC", "short write", "SIGKILL"]
FAULTS: tuple[Fault, ...] = ("EIO", "ENOSPC", "short write", "SIGKILL")
WRITES = (Point.CONTENT_WRITTEN, Point.FILE_WRITTEN, Point.LINE_APPENDED)  # elsewhere a "short write" ends after it
TRAINING = (
    "training.steps=3", "training.batch=4", "training.report_every=1", "training.save_every=1",
    "training.backbone_lr=1e-3", "routing.n_skills=2", "modules.rank=2", "evaluation.max_examples=2", *TINY_SUITE,
    "tasks.train_splits=[train]", "evaluation.every=2", "evaluation.dev_examples=2", "training.keep=best",
)  # fmt: skip
ADAPTATION = (
    "adapt.steps=2", "adapt.looks=1", "adapt.batch=4", "adapt.seeds=[0,1]", "adapt.methods=[row]",
    "evaluation.max_examples=2", *TINY_SUITE,
)  # fmt: skip
Scenario = Callable[[Path], object]
QUIET = Console(quiet=True)


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


def in_process(action: Callable[[], object]) -> int:
    """Exit status of a forked process that calls `action`: 0, 1 for an exception, or minus the signal."""

    def quietly() -> None:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        action()

    return os.waitstatus_to_exitcode(os.waitpid(in_child(quietly), 0)[1])


@contextlib.contextmanager
def a_plain_report() -> Iterator[None]:
    """Reports without pictures, which take most of the time of so short a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "SECTIONS", {"scores": SECTIONS["scores"]})
        yield


def small(out: Path) -> None:
    """Run the small job as the command line does."""
    with a_plain_report():
        run_job("count", Job(about="", Config=CountingConfig, run=count), CountingConfig(), out, None, QUIET)


def language(out: Path) -> None:
    """Train as `polyray run polytropon` does, without Ray."""

    def train(recipe: TrainingRecipe, run: Run) -> Result:
        worker = RayWorker(rank=0, world=1, device=torch.device("cpu"))
        return Result(metrics=multitask.train(recipe.model_dump(mode="json"), run, worker), skills=("skills",))

    job = Job(about="", Config=TrainingRecipe, run=train)
    with a_plain_report():
        run_job("polytropon", job, load_config(TrainingRecipe, overrides=TRAINING), out, None, QUIET)


def adaptation(skills: Path) -> Scenario:
    """Adapt the skills of a finished run as `polyray run adapt` does, without Ray."""

    def run_pieces(recipe: AdaptationRecipe, run: Run) -> Result:
        plan = adapt.plan_of(recipe, run.out)
        for group in plan.groups:
            if any(piece.outcome() is None for piece in group.pieces):
                adapt_group(group)
        return Result(metrics=adapt.gather(plan.pieces), skills=("skills",))

    def start(out: Path) -> None:
        recipe = load_config(AdaptationRecipe, overrides=[f"skills={skills}", *ADAPTATION])
        job = Job(about="", Config=AdaptationRecipe, run=run_pieces)
        with a_plain_report():
            run_job("adapt", job, recipe, out, None, QUIET)

    return start


def unbroken(scenario: Scenario, out: Path) -> dict[str, bytes]:
    """The outcome of a run that nothing disturbs."""
    assert in_process(lambda: scenario(out)) == 0
    return everything(out)


def everything(out: Path) -> dict[str, bytes]:
    """Every byte of a run that must not depend on when it was killed."""
    adapted = {str(path.relative_to(out)): path.read_bytes() for path in sorted((out / "adapted").glob("*"))}
    return {**outcome(out), **adapted}


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
    """Let operation number first, first + every, ... of a run fail, until one passes untouched; resume each.

    Args:
        faults: all of them at each operation, if `every` is 1; else one after the other.
        start: fills the run folder, which does not exist yet, before the scenario that is disturbed.
    """
    journal, wrong, n = folder / "journal", [], 0
    start(folder / "unbroken")
    expected = unbroken(scenario, folder / "unbroken")
    for turn, number in enumerate(range(first, 10_000, every)):
        chosen = faults if every == 1 else [faults[turn % len(faults)]]
        codes = []
        for fault in chosen:
            out = folder / "run"
            start(out)
            codes.append(in_process(lambda f=fault: _disturbed(scenario, out, number, f, journal)))  # type: ignore[misc]  # noqa: B023
            if codes[-1]:
                n += 1
                wrong += resumed(scenario, out, expected, f"{fault} at operation {number}", journal)
            shutil.rmtree(out, ignore_errors=True)
        if not any(codes) and _operations(scenario, folder, start, journal) < number:
            return Crashes(n=n, points=Counter(journal.read_text().split()), wrong=wrong)
    raise AssertionError("the run never ended untouched")


def _disturbed(scenario: Scenario, out: Path, number: int, fault: Fault, journal: Path) -> None:
    with using(FailingDisk(number, fault, journal)):
        scenario(out)


def _operations(scenario: Scenario, folder: Path, start: Callable[[Path], object], journal: Path) -> int:
    """Operations of a run that nothing disturbs."""
    before = len(journal.read_text().split())
    out = folder / "counted"
    shutil.rmtree(out, ignore_errors=True)
    start(out)
    assert in_process(lambda: _disturbed(scenario, out, 0, "EIO", journal)) == 0
    return len(journal.read_text().split()) - before


def resumed(scenario: Scenario, out: Path, expected: dict[str, bytes], name: str, journal: Path) -> list[str]:
    """Go on with the run in `out`; what differs then from the outcome of a run that nothing disturbed."""
    code = in_process(lambda: _disturbed(scenario, out, 0, "EIO", journal))
    if code:
        return [f"{name}: the resumed run ended with {code}"]
    content = everything(out)
    odd = [file for file in sorted({*expected, *content}) if content.get(file) != expected.get(file)]
    remains = [str(path.relative_to(out)) for path in out.rglob(".*") if path.name != ".lock"]
    return [f"{name}: {odd[0]} differs"] if odd else [f"{name}: {remains[0]} was left"] if remains else []


def of_finished(finished: Path, *losses: str) -> Callable[[Path], Any]:
    """Starter of a run from a copy of the `finished` one, in which files or folders are missing."""

    def start(out: Path) -> None:
        shutil.copytree(finished, out)
        for loss in losses:
            path = out / loss
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return start
