"""One driver of trials that take no time, in a process of its own: python -m benchmarks.sweeps.driver WAY N SEARCHER.

`sweep` is a sweep of Polyray; `tune` is Ray Tune by itself with a function that does nothing, as a sweep sets it up.
"""

import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher
from rich.console import Console

from benchmarks.sweeps.meter import Meter, peak_memory
from benchmarks.sweeps.noop import NOOP, noop_sweep
from polyray.cluster.session import RaySession, quieten
from polyray.cluster.sweeping.driver import SCRATCH, SweepRun
from polyray.cluster.sweeping.silence import QUIET
from polyray.sweeps.journal import TRIALS

POINTS = 200  # of a curve, about


class LineCount:
    """The number of lines of a file that grows, each read once."""

    def __init__(self, file: Path) -> None:
        self._file, self._position, self._count = file, 0, 0

    def __call__(self) -> int:
        """Count what was added."""
        if self._file.exists():
            with self._file.open("rb") as stream:
                stream.seek(self._position)
                content = stream.read()
            self._position, self._count = self._position + len(content), self._count + content.count(b"\n")
        return self._count


def drive_sweep(folder: Path, n_trials: int, searcher: str) -> Meter:
    """A sweep of Polyray, without the start of its Ray and without the last writing of its report."""
    sweep, count = noop_sweep(folder / "sweep", n_trials, searcher), LineCount(folder / "sweep" / TRIALS)

    def n_begun() -> int | None:
        n_lines = count()
        return n_lines if not n_lines or (sweep.path / SCRATCH).exists() else None

    with Meter(n_begun) as meter:
        SweepRun(sweep=sweep, job=NOOP, console=Console(quiet=True), address=None, command="").run()
    return meter


class Numbers(Searcher):
    """The numbers of the trials, one after the other; it has no state to store."""

    def __init__(self, n_trials: int) -> None:
        super().__init__()
        self.n_begun, self._n_trials = 0, n_trials

    def suggest(self, trial_id: str) -> Any:
        """The next number."""
        if self.n_begun == self._n_trials:
            return Searcher.FINISHED
        self.n_begun += 1
        return {"number": self.n_begun}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Do nothing."""

    def save(self, checkpoint_path: str) -> None:
        """Store nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Store nothing."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing."""
        return {}


def nothing(config: Mapping[str, Any]) -> None:
    """A trial."""


def drive_tune(folder: Path, n_trials: int, searcher: str) -> Meter:
    """Ray Tune by itself, in a thread as in a sweep."""
    os.environ.update(QUIET)
    numbers = Numbers(n_trials)
    tuner = tune.Tuner(
        tune.with_resources(nothing, {"CPU": 1}),
        tune_config=tune.TuneConfig(search_alg=numbers, num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(name="sweep", storage_path=str(folder / "tune"), verbose=0),
    )
    ended = threading.Event()
    with (
        Meter(lambda: None if ended.is_set() else numbers.n_begun) as meter,
        RaySession(None, folder / "logs") as session,
    ):
        session.start()
        quieten()
        thread = threading.Thread(target=tuner.fit)
        thread.start()
        thread.join()
        ended.set()
    return meter


WAYS: Mapping[str, Callable[[Path, int, str], Meter]] = {"sweep": drive_sweep, "tune": drive_tune}


def main() -> None:
    """Print the figures and the curve as JSON, in the last line."""
    way, n_trials, searcher = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    with tempfile.TemporaryDirectory(prefix="polyray-benchmark-") as folder:
        meter = WAYS[way](Path(folder), n_trials, searcher)
    curve = meter.since_first_trial()
    last = curve[-1]
    figures = {
        "wall": last.seconds, "processor": last.processor, "memory_before": curve[0].memory, "memory": peak_memory(),
        "curve": [*curve[:: max(1, len(curve) // POINTS)], last],
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
