"""One trial of a sweep in a worker process: an ordinary run of the job, whose validations the scheduler is told."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from polyray.cluster.inside import OwnProcess
from polyray.cluster.launch import run_in
from polyray.cluster.tasks import enter_folder
from polyray.errors import InputError, Interrupted, RunError
from polyray.reuse import Shelf, reusing
from polyray.runs.folder import RunFolder
from polyray.runs.job import Job
from polyray.runs.locking import FolderInUseError
from polyray.runs.metrics import read_metrics
from polyray.runs.result import read_result
from polyray.runs.run import STOP
from polyray.sweeps.events import write_events
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.goals import value_along
from polyray.sweeps.options import goals_of
from polyray.sweeps.space import Goal
from polyray.sweeps.verdict import Verdict, read_verdict, write_verdict
from polyray.tracking.options import untracked

GOAL = "goal"  # the metric that schedulers read
AGAIN, PATIENCE = 2.0, 60.0  # seconds between two tries to enter a folder whose process is not quite gone, and in all
LONG = "600"  # seconds that Tune gives a stopped trial to save its checkpoint and end

Report = Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True, kw_only=True)
class Trials:
    """All that a worker process has to know to run trials.

    Attributes:
        sweep: its path is absolute.
        folder: the driver's working folder.
    """

    sweep: SweepFolder
    job: Job
    folder: str

    def run(self, number: int, fields: Mapping[str, Any], report: Report) -> None:
        """Run trial `number`, from where its folder says.

        Args:
            report: tells the scheduler; it raises SystemExit where the trial is to stop.

        Raises:
            SystemExit: the scheduler stopped the trial, which saved a checkpoint or ended meanwhile.
            MemoryError: there is too little memory; the trial can be tried again.
        """
        os.environ.update({"TUNE_FUNCTION_THREAD_TIMEOUT_S": LONG, "RAY_CHDIR_TO_TRIAL_DIR": "0"})
        enter_folder(self.folder)
        if (self.sweep.path / STOP).exists():
            return
        judge = Judge(goals_of(self.sweep.space, self.sweep.options)[0], report)
        with reusing(_shelf()):
            for repeat, folder in enumerate(self.sweep.folders(number)):
                hooks = [] if repeat else [judge]  # the scheduler compares first repeats
                if not self._repeat(number, fields, repeat, folder, hooks):
                    break
                write_events(self.sweep, fields, folder)
        if judge.stopped:
            raise SystemExit(0)  # Tune's sign that the trial saw its end

    def _repeat(
        self, number: int, fields: Mapping[str, Any], repeat: int, folder: Path, hooks: Sequence["Judge"]
    ) -> bool:
        """Whether the repeat is done, and the next one can begin."""
        verdict_file = self.sweep.verdict_file(number)
        ended = read_verdict(verdict_file).state != "open"
        for judge in hooks:
            judge.follow(folder)
            if judge.stopped and not ended:
                write_verdict(verdict_file, Verdict(state="stopped", reason="stopped by the scheduler"))
            ended = ended or judge.stopped
        if ended:
            return False
        try:
            self._run(fields, repeat, folder, hooks)
        except Interrupted:
            if any(judge.stopped for judge in hooks):
                write_verdict(verdict_file, Verdict(state="stopped", reason="stopped by the scheduler"))
            return False
        except (InputError, RunError) as error:
            result = read_result(folder)
            if result is not None and result["status"] == "done":  # only its report could not be composed
                return True
            if is_short_of_memory(error.__cause__):
                raise MemoryError(str(error)) from error
            write_verdict(verdict_file, Verdict(state="failed", reason=reason_of(folder, error)))
            return False
        return True

    def _run(self, fields: Mapping[str, Any], repeat: int, folder: Path, hooks: Sequence["Judge"]) -> None:
        config = untracked(self.sweep.config(self.job.Config, fields, repeat))  # the driver tells the tracker
        run = RunFolder(path=folder, job=self.sweep.job, config=config, address=None)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                run_in(run, self.job, Console(quiet=True), cluster=OwnProcess(), hooks=hooks)
                return
            except FolderInUseError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(AGAIN)


class Judge:
    """The hook of a run that tells the scheduler every validation once, and passes its wish to stop on to the run.

    Attributes:
        stopped: whether the scheduler wants the trial to end.
    """

    def __init__(self, goal: Goal, report: Report) -> None:
        self.stopped = False
        self._goal, self._report = goal, report
        self._stop_file: Path | None = None
        self._last = -1

    def follow(self, folder: Path) -> None:
        """Tell what the run in `folder` has reported in earlier starts."""
        self._stop_file = folder / STOP
        for line in read_metrics(folder):
            self(line)

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Tell one line of metrics, unless it was told."""
        value, step = value_along(line, self._goal), line["step"]
        if value is None or step <= self._last or self.stopped:
            return
        self._last = step
        try:
            self._report({GOAL: value, "step": step})
        except SystemExit:
            self.stopped = True
            if self._stop_file is not None and self._stop_file.parent.is_dir():
                self._stop_file.touch()


def is_short_of_memory(error: BaseException | None) -> bool:
    """Whether another try may help, perhaps beside other trials: memory of the CPU or GPU did not suffice."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def reason_of(folder: Path, error: Exception) -> str:
    """Why a run failed, in one line."""
    result = read_result(folder)
    text = result["reason"] if result is not None and result["reason"] else str(error)
    return " ".join(text.split())


@lru_cache(maxsize=1)  # what this process keeps from trial to trial
def _shelf() -> Shelf:
    return Shelf()
