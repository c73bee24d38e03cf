"""A sweep from its start to its end: Ray Tune in a thread, and beside it whoever shows it or wants to end it."""

import contextvars
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray import tune
from rich.console import Console

from polyray.cluster.monitoring.sweeps import SweepWatch
from polyray.cluster.session import RaySession, quieten
from polyray.cluster.sweeping.population import PopulationSearcher
from polyray.cluster.sweeping.resources import ahead, at_once, resources_of
from polyray.cluster.sweeping.schedulers import scheduler_of
from polyray.cluster.sweeping.searcher import JournalSearcher
from polyray.cluster.sweeping.silence import QUIET
from polyray.cluster.sweeping.storage import RemoteStorage, SharedFolder, Storage
from polyray.cluster.sweeping.trial import Trials
from polyray.errors import InputError, Interrupted, PolyrayError, RunError
from polyray.files import make_folders, remove_folder
from polyray.reports.sweep.display import SweepDisplay, finish
from polyray.runs.job import Job
from polyray.runs.run import STOP
from polyray.runs.stopping import StopRequest, stopping
from polyray.runs.store.working import WorkingCopy
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.journal import from_text
from polyray.sweeps.options import goals_of, searcher_of
from polyray.sweeps.outcome import best_config
from polyray.sweeps.schedulers import SCHEDULERS
from polyray.sweeps.searchers import SEARCHERS
from polyray.sweeps.tracking import TrialTracking
from polyray.sweeps.trials import TrialRows, record_of

SCRATCH = ".tune"  # in the sweep's folder, while it runs: Tune's own files, which nobody reads again
LOOK = 0.2  # seconds between two looks at the sweep


@dataclass(frozen=True, kw_only=True)
class SweepRun:
    """One start of a sweep.

    Attributes:
        address, dashboard: see `RaySession`.
        command: with which the same sweep goes on.
        store: the working copy that the sweep's folder is, where that is behind a URL; else None.
    """

    sweep: SweepFolder
    job: Job
    console: Console
    address: str | None
    command: str
    dashboard: bool = False
    store: WorkingCopy | None = None

    def run(self) -> None:
        """Run all trials that have not ended.

        Raises:
            InputError: the folder holds something else, or no Ray cluster answers.
            Interrupted: a signal ended the sweep; the message says how to go on.
            RunError: Ray failed, or all trials did.
        """
        sweep = self.sweep
        with sweep.locked(), TrialTracking(sweep, self.job.Config, self._say) as tracking:
            (sweep.path / STOP).unlink(missing_ok=True)  # it stopped an earlier start
            self._clear()
            rows = TrialRows(sweep)
            storage: Storage = RemoteStorage(sweep, self.store) if self.store is not None else SharedFolder(sweep)
            scheduler, chooses = SCHEDULERS[sweep.options.scheduler], searcher_of(sweep.space, sweep.options)
            kind = PopulationSearcher if scheduler.population else JournalSearcher
            searcher = kind(sweep, rows, chooses, replay=scheduler.judges, tracking=tracking, storage=storage)
            try:
                if searcher.has_more:
                    self._run(searcher, rows)
            except (Interrupted, RunError):
                with suppress(PolyrayError):  # the message of the sweep's own end follows
                    self._finish(rows)
                raise
            self._finish(rows)

    def _finish(self, rows: TrialRows) -> None:
        """Write what came out, and say it.

        Raises:
            StorageError: the disk refused.
            RunError: all trials failed.
        """
        record = record_of(self.sweep, rows, running=False)
        config = best_config(self.sweep, self.job.Config, record.best) if record.best is not None else None
        finish(record, config, self.console)
        if self.store is not None:
            self.store.publish()
        if record.rows and all(row.state == "failed" for row in record.rows):
            raise RunError(f"All trials of the sweep failed, the first one because: {record.rows[0].reason}")

    def _run(self, searcher: JournalSearcher, rows: TrialRows) -> None:
        sweep, path = self.sweep, self.sweep.path
        ends = time.monotonic() + (sweep.options.seconds or float("inf"))
        with stopping(path / STOP, self._say) as stop:
            try:
                with self._session() as session:
                    session.start()
                    self._check_room()
                    self._follow(_Tuning(self, searcher), searcher, rows, ends)
            except (KeyboardInterrupt, Interrupted):
                raise self._interrupted(stop) from None
            finally:
                self._clear()
            if stop.number is not None:
                raise self._interrupted(stop)
        if (path / STOP).exists():
            late = time.monotonic() > ends
            reason = f"The time is over (sweep.seconds={sweep.options.seconds:g})." if late else "Stopped, as asked."
            self._say(f"{reason} Go on with: {self.command}")

    def _follow(self, tuning: "_Tuning", searcher: JournalSearcher, rows: TrialRows, ends: float) -> None:
        """Show how it stands until the end, and pass a wish to stop on to the trials."""
        tuning.start()
        watch = SweepWatch(lambda: record_of(self.sweep, rows, running=True), self._say)
        with SweepDisplay(lambda: record_of(self.sweep, rows, running=True), self.console) as display:
            while tuning.is_alive():
                tuning.join(LOOK)
                if time.monotonic() > ends:
                    (self.sweep.path / STOP).touch()
                if (self.sweep.path / STOP).exists():
                    searcher.ask_to_stop()
                searcher.refresh()
                display.tick()
                watch.tick()
        if tuning.error is not None:
            raise RunError(f"Ray Tune failed: {tuning.error}") from tuning.error

    def _session(self) -> RaySession:
        path = self.sweep.path
        return RaySession(
            self.address, path / "logs" / "ray", path / STOP, self.sweep.url, folder=path.absolute(),
            dashboard=self.dashboard, announce=self._say,
        )  # fmt: skip

    def _check_room(self) -> None:
        """Refuse trials for which a cluster of this sweep's own is too small; one that is joined may grow.

        Raises:
            InputError: it is too small.
        """
        if self.joins:
            return
        room, options = ray.cluster_resources(), self.sweep.options
        for name, field, asked in (("CPU", "cpus", options.cpus), ("GPU", "gpus", options.gpus)):
            if asked > room.get(name, 0):
                raise InputError(
                    f"sweep.{field}={asked:g}: this machine has {room.get(name, 0):g} {name}s, so no trial would begin."
                )

    @property
    def joins(self) -> bool:
        """Whether the sweep joins a cluster, which may grow, and starts none of its own."""
        return bool(self.address or os.environ.get("RAY_ADDRESS"))

    def _interrupted(self, stop: StopRequest) -> Exception:
        return stop.interrupted(f"Interrupted. Resume with: {self.command}")

    def _clear(self) -> None:
        if (self.sweep.path / SCRATCH).exists():
            remove_folder(self.sweep.path / SCRATCH)

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Tuning(threading.Thread):
    """Ray Tune's loop, which keeps signals to itself unless it runs in a thread."""

    def __init__(self, run: SweepRun, searcher: JournalSearcher) -> None:
        super().__init__(daemon=True)
        self.error: Exception | None = None
        self._run_of, self._searcher = run, searcher
        self._context = contextvars.copy_context()

    def run(self) -> None:
        """Fit until the searcher has no more trials."""
        try:
            self._context.run(self._fit)
        except Exception as error:  # noqa: BLE001  # the thread that waits raises it again
            self.error = error

    def _fit(self) -> None:
        os.environ.update(QUIET)
        quieten()
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # errors are tracebacks of trials that lost a process
        sweep = self._run_of.sweep
        options, goal = sweep.options, goals_of(sweep.space, sweep.options)[0]
        n_ahead = ahead(options, SEARCHERS[options.searcher].learns) if self._run_of.joins else None
        if n_ahead is not None:
            os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(n_ahead)
        base = sweep.config(self._run_of.job.Config, {})
        storage = sweep.path.absolute() / SCRATCH
        make_folders(storage)
        tuner = tune.Tuner(
            tune.with_resources(self._trainable(), resources_of(base, options)),
            tune_config=tune.TuneConfig(
                search_alg=self._searcher, scheduler=scheduler_of(options, goal), num_samples=-1, reuse_actors=True,
                max_concurrent_trials=at_once(base, options),
            ),
            run_config=tune.RunConfig(
                name="sweep", storage_path=str(storage), verbose=0,
                failure_config=tune.FailureConfig(max_failures=options.retries),
            ),
        )  # fmt: skip
        tuner.fit()

    def _trainable(self) -> Callable[[dict[str, Any]], None]:
        """The function that Tune runs for a handful of trials; the dashboard shows its name."""
        sweep = replace(self._run_of.sweep, path=self._run_of.sweep.path.absolute())
        trials = Trials(sweep=sweep, job=self._run_of.job, folder=os.getcwd())

        def report(metrics: Mapping[str, Any]) -> None:
            tune.report(dict(metrics))

        def run_trial(config: dict[str, Any]) -> None:
            trials.run_all(from_text(config["trials"]), report, config["until"])

        run_trial.__name__ = run_trial.__qualname__ = f"sweep {sweep.path.name}"
        return run_trial
