"""Bytes that a sweep writes and sends, measured at two trials of a language model's training on planted tasks."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.tune.search import Searcher as TuneSearcher

from polyray.cluster.sweeping.planning import plan
from polyray.cluster.sweeping.searcher import JournalSearcher
from polyray.cluster.sweeping.trial import Trials
from polyray.jobs.table import JOBS
from polyray.progress import PROGRESS
from polyray.runs.metrics import METRICS
from polyray.runs.store.lease import Timing
from polyray.runs.store.manifest import Manifest, StoredFile
from polyray.runs.store.process import identity
from polyray.runs.sums import SUMS
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.journal import TRIALS, as_text, from_text, read_entries
from polyray.sweeps.options import read_options, searcher_of
from polyray.sweeps.trials import TrialRows
from polyray.tune_spaces.loading import find_space, load_space

JOB, SPACE, N_TRIALS = "polytropon", "dual_speed", 2
OVERRIDES = (
    f"sweep.trials={N_TRIALS}", "training.steps=40", "training.report_every=10", "training.save_every=20",
    "evaluation.every=20", "evaluation.dev_examples=2", "evaluation.max_examples=1",
)  # fmt: skip


def two_trials(path: Path, overrides: Sequence[str] = OVERRIDES) -> SweepFolder:
    """A sweep whose trials have run in this process."""
    entry = JOBS[JOB]
    options, for_job = read_options(find_space(SPACE), overrides)
    space = load_space(SPACE, JOB, entry.Config, None, for_job)
    sweep = plan(path, JOB, entry, SPACE, space, options, file=None, overrides=space.overrides(for_job))
    with sweep.locked():
        searcher = JournalSearcher(sweep, TrialRows(sweep), searcher_of(space, options), replay=False)
        trials = Trials(sweep=sweep, job=entry, folder=".")
        while (suggestion := searcher.suggest("handful")) != TuneSearcher.FINISHED:
            trials.run_all(from_text(suggestion["trials"]), lambda line: None, suggestion["until"])
            searcher.on_trial_complete("handful")
    return sweep


def rows(sweep: SweepFolder) -> Iterator[dict[str, Any]]:
    """A row for each thing that is written or sent: its bytes, and of folders the number of files."""
    folder = sweep.path / "trials" / "0000"
    checkpoint = max((folder / "checkpoints").glob("step-*"))
    suggestion = {"trials": as_text(read_entries(sweep.path)[:1]), "until": 0}
    trials = Trials(sweep=sweep, job=JOBS[sweep.job], folder=".")
    yield _row("line of a configuration in trials.jsonl", _line(sweep.path / TRIALS))
    yield _row("configuration, sent to a trial", len(cloudpickle.dumps(suggestion)))
    yield _row("job and sweep, sent to each worker once", len(cloudpickle.dumps(trials)))
    yield _row(f"report: line of {METRICS}", _line(folder / METRICS))
    yield _row(f"report: line of {PROGRESS}", _line(folder / PROGRESS))
    yield _row("checkpoint", *_size(checkpoint))
    yield _row(f"checkpoint's {SUMS}", (checkpoint / SUMS).stat().st_size)
    yield _row("trial's folder at its end", *_size(folder))
    yield _row("of that, without its checkpoints", *_size(folder, without=folder / "checkpoints"))
    yield _row("manifest of that folder behind a URL", len(_manifest(folder).encoded()))
    beat = len(json.dumps({**identity(), "beat": 1000}).encode())
    yield _row(f"sign of life of a writer behind a URL, each {Timing().beat:g} s", beat)


def _row(name: str, size: int, n_files: int = 1) -> dict[str, Any]:
    return {"what": name, "bytes": size, "files": n_files}


def _line(file: Path) -> int:
    """Bytes of a line of the file, on average."""
    content = file.read_bytes()
    return round(len(content) / content.count(b"\n"))


def _size(folder: Path, without: Path | None = None) -> tuple[int, int]:
    """Bytes and number of the files below a folder."""
    files = [file for file in folder.rglob("*") if file.is_file() and (without is None or without not in file.parents)]
    return sum(file.stat().st_size for file in files), len(files)


def _manifest(folder: Path) -> Manifest:
    """The manifest that publishing the folder would write."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    manifest = Manifest(epoch=1, number=1)
    return manifest.having(
        {
            str(file.relative_to(folder)): StoredFile(
                f"{manifest.stem}-{number:06d}", file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()
            )
            for number, file in enumerate(files)
        }
    )
