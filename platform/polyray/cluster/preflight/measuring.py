"""Short runs of a config, really done in a folder that is gone afterwards."""

import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from polyray.cluster.inside import OwnProcess
from polyray.cluster.preflight.costs import Cost, Files, Seconds, interrupted_seconds, mean_seconds, seconds_of
from polyray.cluster.preflight.stopwatch import Stopwatch, timed_run
from polyray.config import Section
from polyray.errors import Interrupted, PolyrayError
from polyray.files import remove_folder
from polyray.progress import PROGRESS
from polyray.reports.report import write_report
from polyray.reuse import Shelf, reusing
from polyray.runs.folder import RunFolder
from polyray.runs.job import Job
from polyray.runs.metrics import METRICS
from polyray.runs.run import CHECKPOINTS, EVENTS
from polyray.runs.workload import Amounts, Workload
from polyray.tracking.options import untracked

BUDGET = 24.0  # seconds that they may take
FEWEST = 3  # steps of a run; of an agent iterations, but for the first run, which has one
MOST_RUNS = 5  # after the first
MOST_EVENTS = 4  # reports, validations and checkpoints of a run
BLOCK = 4096
SHARE = 0.2  # of the time that is left, for the steps of a later run; as much for its events, and for its end


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One short run, which came to its end or was stopped because the time was over."""

    whole: bool
    watch: Stopwatch
    ended: float
    files: Files
    scored: int


def measure(job: Job, name: str, config: Section, validates: bool) -> dict[str, Any]:
    """The cost of a run of `job`, as plain data that `cost_of` reads; or {"problem": why there is none}.

    Args:
        validates: whether it validates on the way.
    """
    torch.set_num_threads(1)  # as in a trial
    started = time.monotonic()
    assert job.workload is not None, "who asks has looked"
    try:
        with tempfile.TemporaryDirectory(prefix="polyray-plan-") as folder, reusing(Shelf()):
            measuring = _Measuring(job, name, untracked(config), job.workload, Path(folder), started + BUDGET)
            cost = measuring.cost(validates=validates)
    except (PolyrayError, FloatingPointError, MemoryError) as error:
        return {"problem": str(error)}
    return {**asdict(cost), "inside": time.monotonic() - started}


def cost_of(values: Mapping[str, Any]) -> Cost:
    """The cost that `measure` gave as plain data."""
    more = {name: values[name] for name in ("scored_first", "scored", "stride", "memory")}
    return Cost(
        first=Seconds(**values["first"]), later=Seconds(**values["later"]), files=Files(**values["files"]),
        amounts=Amounts(**values["amounts"]), **more,
    )  # fmt: skip


NO_FILES = Files(fixed=0.0, report=0.0, line=0.0, checkpoint=0.0)


class _Measuring:
    """Short runs of one config."""

    def __init__(self, job: Job, name: str, config: Section, workload: Workload, root: Path, deadline: float) -> None:
        self._job, self._name, self._config, self._workload = job, name, config, workload
        self._root, self._deadline = root, deadline

    def cost(self, *, validates: bool) -> Cost:
        """The cost of the whole run."""
        first = self._run("first", FEWEST, 1, 1)
        stopped = [] if first.whole else [first]
        if stopped:
            first = self._run("single", 1, 1, 1)  # of a single step: it is never stopped
        stride = max(1, first.watch.step // len(first.watch.looks))
        amounts = self._workload.amounts(self._config, stride)
        rough = seconds_of(first.watch, first.ended, validates=validates)
        runs = stopped or self._later(*self._sizes(rough, amounts, stride, first.scored))
        whole = [run for run in runs if run.whole]
        if whole:
            usual = mean_seconds([seconds_of(run.watch, run.ended, validates=validates) for run in whole])
        else:
            usual = interrupted_seconds(rough, runs[0].watch)
        longest = whole[-1] if whole else first
        return Cost(
            first=seconds_of(first.watch, first.ended, validates=validates, usual=usual), later=usual,
            scored_first=first.scored, scored=longest.scored, files=longest.files, stride=stride,
            memory=1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, amounts=amounts,
        )  # fmt: skip

    def _later(self, steps: int, events: int, scored: int) -> list[Timed]:
        """Runs of this size, one after another, for as long as there is time for one more, up to `MOST_RUNS`."""
        runs = [self._run("later", steps, events, scored)]
        while len(runs) < MOST_RUNS and time.monotonic() + runs[-1].ended - runs[-1].watch.began < self._deadline:
            runs.append(self._run(f"later-{len(runs)}", steps, events, scored))
        return runs

    def _sizes(self, rough: Seconds, amounts: Amounts, stride: int, n_scored: int) -> tuple[int, int, int]:
        """Steps, events and scored examples of a task for which a later run takes a good share of the time left."""
        left = max(0.0, self._deadline - time.monotonic())
        n_steps = max(FEWEST, int(left * SHARE / max(1e-3, rough.step or rough.setup)))
        n_steps = min(n_steps, max(FEWEST, -(-amounts.steps // stride)))
        event = rough.report + rough.validation + rough.checkpoint
        n_events = max(1, min(MOST_EVENTS, amounts.reports, n_steps, int(left * SHARE / max(1e-3, event))))
        each = max(1, int(min(amounts.scored / max(1, n_scored), left * SHARE / max(1e-3, rough.end))))
        return n_steps * stride, n_events, each

    def _run(self, name: str, steps: int, events: int, scored: int) -> Timed:
        """A run of so many steps; see `Workload.shorten`."""
        config, watch = self._workload.shorten(self._config, steps, events, scored), Stopwatch(self._deadline)
        folder = RunFolder(path=self._root / name, job=self._name, config=config, address=None)
        with folder.locked():
            folder.write_start("polyray --plan")
            run = timed_run(watch)(folder.path, console=Console(quiet=True), cluster=OwnProcess())
            try:
                folder.write_result("done", 0.0, self._job.run(config, run))
            except Interrupted:
                return Timed(whole=False, watch=watch, ended=watch.clock(), files=NO_FILES, scored=0)
        write_report(folder.path)
        ended, n_scored = watch.clock(), self._workload.amounts(config, 1).scored
        files = _files(folder.path, len(watch.reports))
        remove_folder(folder.path)
        return Timed(whole=True, watch=watch, ended=ended, files=files, scored=n_scored)


def _files(folder: Path, n_reports: int) -> Files:
    """Sizes of what a short run has left, its last checkpoint among it."""
    files = {path.relative_to(folder): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    saved = [_blocks(size) for path, size in files.items() if path.parts[0] == CHECKPOINTS]
    n_saved = sum(path.parts[0] == CHECKPOINTS and path.name == METRICS for path in files)
    growing = [size for path, size in files.items() if path.parts[0] in (METRICS, PROGRESS, EVENTS)]
    return Files(
        fixed=sum(map(_blocks, files.values())) - sum(saved), report=sum(growing) / n_reports,
        line=files[Path(METRICS)] / n_reports, checkpoint=sum(saved) / max(1, n_saved),
    )  # fmt: skip


def _blocks(size: int) -> int:
    """Bytes that a file of this size takes on a disk with blocks of 4 KiB."""
    return -(-size // BLOCK) * BLOCK
