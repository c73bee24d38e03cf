"""One trial of a sweep in a worker process: an ordinary run of the job, whose validations the scheduler is told."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from polyray.cluster.inside import OwnProcess
from polyray.cluster.launch import run_in
from polyray.cluster.sweeping.overseers import Judge, Overseer, Pause, Report
from polyray.cluster.sweeping.storage import trial_storage
from polyray.cluster.tasks import enter_folder
from polyray.errors import InputError, Interrupted, RunError
from polyray.reuse import Shelf, reusing
from polyray.runs.folder import RunFolder
from polyray.runs.job import Job
from polyray.runs.locking import FolderInUseError
from polyray.runs.result import read_result
from polyray.runs.run import STOP
from polyray.runs.store.working import WorkingCopy
from polyray.sweeps.events import write_events
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.journal import Entry
from polyray.sweeps.options import goals_of
from polyray.sweeps.schedulers import SCHEDULERS
from polyray.sweeps.verdict import Verdict, read_verdict, write_verdict
from polyray.tracking.options import untracked
from polyray.training.schedule import SCHEDULE, SCHEDULE_FIELD, Schedule, write_schedule

AGAIN, PATIENCE = 2.0, 60.0  # seconds between two tries to enter a folder whose process is not quite gone, and in all
HANDFUL_PATIENCE = 10.0  # seconds after which no further trial of a handful begins
LONG = "600"  # seconds that Tune gives a stopped trial to save its checkpoint and end


@dataclass(frozen=True, kw_only=True)
class Trials:
    """All that a worker process has to know to run trials.

    Attributes:
        sweep: its path is absolute.
        folder: the driver's working folder.
        store: what this process publishes, while it runs a trial of a sweep behind a URL; else None.
    """

    sweep: SweepFolder
    job: Job
    folder: str
    store: WorkingCopy | None = None

    def run_all(self, entries: Sequence[Entry], report: Report, until: int = 0) -> None:
        """Run trials in turn, each as `run` does; those that are left after some seconds are given to others."""
        deadline = time.monotonic() + HANDFUL_PATIENCE
        for entry in entries:
            self.run(entry.number, entry.fields, report, until)
            if time.monotonic() > deadline:
                break

    def run(self, number: int, fields: Mapping[str, Any], report: Report, until: int = 0) -> None:
        """Run trial `number`, from where its folder says.

        Args:
            until: validations after which it pauses, as a member of a population; 0: it runs to its end.
            report: tells the scheduler; it raises SystemExit where the trial is to stop.

        Raises:
            SystemExit: the scheduler stopped the trial, which saved a checkpoint or ended meanwhile.
            MemoryError: there is too little memory; the trial can be tried again.
            PolyrayError: the storage behind the sweep's URL refused; the trial can be tried again.
        """
        os.environ.update({"TUNE_FUNCTION_THREAD_TIMEOUT_S": LONG, "RAY_CHDIR_TO_TRIAL_DIR": "0"})
        enter_folder(self.folder)
        with trial_storage(self.sweep, number) as (sweep, store):
            replace(self, sweep=sweep, store=store)._run_here(number, fields, report, until)

    def _run_here(self, number: int, fields: Mapping[str, Any], report: Report, until: int) -> None:
        if (self.sweep.path / STOP).exists():
            return
        overseer = self._overseer(report, until)
        with reusing(_shelf()):
            for repeat, folder in enumerate(self.sweep.folders(number)):
                hooks = [] if repeat or overseer is None else [overseer]  # the scheduler compares first repeats
                if not self._repeat(number, fields, repeat, folder, hooks):
                    break
                write_events(self.sweep, fields, folder)
        if overseer is not None and overseer.stopped:
            raise SystemExit(0)  # Tune's sign that the trial saw its end

    def _overseer(self, report: Report, until: int) -> Overseer | None:
        """Who may let the trial stop before its end; None: nobody."""
        goal = goals_of(self.sweep.space, self.sweep.options)[0]
        if until:
            return Pause(goal, until)
        return Judge(goal, report) if SCHEDULERS[self.sweep.options.scheduler].judges else None

    def _repeat(
        self, number: int, fields: Mapping[str, Any], repeat: int, folder: Path, hooks: Sequence[Overseer]
    ) -> bool:
        """Whether the repeat is done, and the next one can begin."""
        verdict_file = self.sweep.verdict_file(number)
        ended = read_verdict(verdict_file).state != "open"
        for overseer in hooks:
            overseer.follow(folder)
            if overseer.stopped and not ended:
                write_verdict(verdict_file, Verdict(state="stopped", reason="stopped by the scheduler"))
            ended = ended or overseer.stopped
        if ended:
            return False
        try:
            self._run(fields, repeat, folder, hooks)
        except Interrupted:
            if any(overseer.stopped for overseer in hooks):
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

    def _run(self, fields: Mapping[str, Any], repeat: int, folder: Path, hooks: Sequence[Overseer]) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                run = self._run_folder(fields, repeat, folder)
                run_in(run, self.job, Console(quiet=True), cluster=OwnProcess(), hooks=hooks)
                return
            except FolderInUseError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(AGAIN)

    def _run_folder(self, fields: Mapping[str, Any], repeat: int, folder: Path) -> RunFolder:
        """The run of a repeat; a member of a population follows its schedule, which is written where it begins."""
        schedule = folder / SCHEDULE
        more = {SCHEDULE_FIELD: str(schedule)} if SCHEDULERS[self.sweep.options.scheduler].population else {}
        config = untracked(self.sweep.config(self.job.Config, {**fields, **more}, repeat))  # the driver tells trackers
        run = RunFolder(path=folder, job=self.sweep.job, config=config, address=None, store=self.store)
        if more and not schedule.exists():
            with run.locked():
                write_schedule(schedule, Schedule(changes=((0, dict(fields)),)))
        return run


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
