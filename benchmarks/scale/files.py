"""Cost of the driver's work on its own files when a sweep has many trials: no trial runs, their files are made."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.sweeps.noop import noop_sweep
from polyray.cluster.sweeping.searcher import JournalSearcher
from polyray.reports.sweep.report import write_sweep_report
from polyray.runs.folder import CONFIG
from polyray.runs.result import RESULT
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.journal import TRIALS
from polyray.sweeps.options import searcher_of
from polyray.sweeps.outcome import write_outcome
from polyray.sweeps.trials import TrialRows, record_of

ASKS = 20  # new trials whose proposal is timed


def ended_sweep(path: Path, n_trials: int, searcher: str) -> SweepFolder:
    """A sweep of `n_trials` trials that are done, of a few more that are planned."""
    sweep = noop_sweep(path, n_trials + ASKS, searcher)
    with sweep.locked():
        draws = [{"lr": 1e-4 + 0.09 * number / n_trials, "routing_lr": 0.5} for number in range(n_trials)]
        lines = [json.dumps({"number": number, "fields": draw, "from": None}) for number, draw in enumerate(draws)]
        (path / TRIALS).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for number, draw in enumerate(draws):
            (folder,) = sweep.folders(number)
            folder.mkdir(parents=True)
            (folder / CONFIG).write_text("# job: noop\n", encoding="utf-8")
            result = {
                "job": "noop", "status": "done", "metrics": {"mean": draw["lr"]}, "skills": [], "seconds": 1.0,
                "reason": "", "versions": {},
            }  # fmt: skip
            (folder / RESULT).write_text(json.dumps(result), encoding="utf-8")
    return sweep


def rows(sweep: SweepFolder, n_trials: int) -> Iterator[dict[str, Any]]:
    """A row for each thing that the driver does, in processor time."""
    trial_rows = TrialRows(sweep)
    yield _row("read all trials, first look", n_trials, _seconds(trial_rows.read), per=n_trials)
    yield _row("read all trials, each further look", n_trials, _seconds(trial_rows.read))
    record = record_of(sweep, trial_rows, running=True)
    seconds = _seconds(lambda: write_outcome(record))
    yield _row("write sweep.json", n_trials, seconds, size=(sweep.path / "sweep.json").stat().st_size)
    seconds = _seconds(lambda: write_sweep_report(record))
    yield _row("write report.html", n_trials, seconds, size=(sweep.path / "report.html").stat().st_size)
    searcher = JournalSearcher(sweep, trial_rows, searcher_of(sweep.space, sweep.options), replay=False)
    seconds = _seconds(lambda: [searcher.suggest(str(number)) for number in range(ASKS)])
    yield _row(f"propose a trial ({sweep.options.searcher})", n_trials, seconds, per=ASKS)


def _row(work: str, n_trials: int, seconds: float, *, per: int = 1, size: int = 0) -> dict[str, Any]:
    return {"work": work, "trials": n_trials, "ms": 1000 * seconds / per, "bytes": size}


def _seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun
