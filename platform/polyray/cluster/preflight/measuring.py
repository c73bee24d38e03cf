"""Two short runs of a config, really done in a folder that is gone afterwards."""

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
from polyray.cluster.preflight.costs import Cost, Files, Seconds, interrupted_seconds, seconds_of
from polyray.cluster.preflight.stopwatch import Stopwatch, timed_run
from polyray.config import Section
from polyray.errors import Interrupted, PolyrayError
from polyray.progress import PROGRESS
from polyray.reports.report import write_report
from polyray.reuse import Shelf, reusing
from polyray.runs.folder import RunFolder
from polyray.runs.job import Job
from polyray.runs.metrics import METRICS
from polyray.runs.run import CHECKPOINTS, EVENTS
from polyray.runs.workload import Amounts, Workload
from polyray.tracking.options import untracked

BUDGET = 24.0  # seconds that both runs may take
FEWEST, MOST = 3, 60  # steps, or iterations of an agent, of the second run
BLOCK = 4096
SHARE = 0.5  # of the time that is left, for the steps of the second run; as much for scoring


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
    """Two short runs of one config."""

    def __init__(self, job: Job, name: str, config: Section, workload: Workload, root: Path, deadline: float) -> None:
        self._job, self._name, self._config, self._workload = job, name, config, workload
        self._root, self._deadline = root, deadline

    def cost(self, *, validates: bool) -> Cost:
        """The cost of the whole run."""
        first = self._run("first", 1, 1)
        stride = max(1, first.watch.step)
        amounts = self._workload.amounts(self._config, stride)
        rough = seconds_of(first.watch, first.ended, validates=validates)
        left = max(0.0, self._deadline - time.monotonic()) * SHARE
        n_steps = min(max(FEWEST, int(left / max(1e-3, rough.setup))), MOST)
        each = max(1, int(min(amounts.scored / max(1, first.scored), left / max(1e-3, rough.end))))
        second = self._run("second", n_steps * stride, each)
        if second.whole:
            later = seconds_of(second.watch, second.ended, validates=validates)
        else:
            later = interrupted_seconds(rough, second.watch)
        longest = second if second.whole else first
        return Cost(
            first=seconds_of(first.watch, first.ended, validates=validates, usual=later), later=later,
            scored_first=first.scored, scored=longest.scored, files=longest.files, stride=stride,
            memory=1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, amounts=amounts,
        )  # fmt: skip

    def _run(self, name: str, steps: int, scored: int) -> Timed:
        """A run of so many steps, with at most so many examples of a task scored."""
        config, watch = self._workload.shorten(self._config, steps, scored), Stopwatch(self._deadline)
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
        return Timed(
            whole=True, watch=watch, ended=ended, files=_files(folder.path, len(watch.reports)), scored=n_scored
        )


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
