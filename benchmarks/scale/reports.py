"""Cost of a trial's report to the driver: Ray Tune, with trials that take no time and report often or never."""

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.tune import Callback

from benchmarks.sweeps.driver import Numbers
from polyray.cluster.session import RaySession, quieten
from polyray.cluster.sweeping.silence import QUIET


class _Sizes(Callback):
    """The bytes of the last report as it reaches the driver."""

    def __init__(self) -> None:
        self.last = 0

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Pickle a report as Ray does."""
        if "goal" in result:
            self.last = len(cloudpickle.dumps(result))


def measure(n_trials: int, n_reports: int) -> dict[str, Any]:
    """Processor time of the driver for a report, in ms, and the report's bytes."""
    os.environ.update(QUIET)
    sizes = _Sizes()
    with (
        tempfile.TemporaryDirectory(prefix="polyray-benchmark-") as name,
        RaySession(None, Path(name) / "logs") as session,
    ):
        session.start()
        quieten()
        _fit(2, 1, Path(name) / "first", [])  # the workers start
        seconds = [_fit(n_trials, number, Path(name) / str(number), [sizes]) for number in (0, n_reports)]
    each = (seconds[1] - seconds[0]) / (n_trials * n_reports)
    return {
        "trials": n_trials,
        "reports of each": n_reports,
        "ms a report": 1000 * each,
        "bytes of a report": sizes.last,
    }


def _fit(n_trials: int, n_reports: int, folder: Path, callbacks: list[Callback]) -> float:
    """Processor seconds of this process while Tune runs the trials."""

    def trial(config: Mapping[str, Any]) -> None:
        for step in range(n_reports):
            tune.report({"goal": 0.5, "step": step})

    tuner = tune.Tuner(
        tune.with_resources(trial, {"CPU": 1}),
        tune_config=tune.TuneConfig(search_alg=Numbers(n_trials), num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(name="sweep", storage_path=str(folder), verbose=0, callbacks=callbacks),
    )
    begun = time.process_time()
    thread = threading.Thread(target=tuner.fit)
    with contextlib.redirect_stdout(sys.stderr):  # where Tune prints the end of each trial
        thread.start()
        thread.join()
    return time.process_time() - begun
