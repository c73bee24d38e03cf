"""A sweep's trainings one after another in one warm process without Ray.

python -m benchmarks.sweeps.trainings SWEEP OUT
"""

import json
import sys
import time
from pathlib import Path

from rich.console import Console

from polyray.cluster.inside import OwnProcess
from polyray.cluster.launch import run_in
from polyray.config import Section, load_config
from polyray.jobs.table import JOBS
from polyray.reuse import Shelf, reusing
from polyray.runs.folder import RunFolder
from polyray.sweeps.folder import open_sweep
from polyray.sweeps.journal import read_entries


def train(job: str, config: Section, out: Path) -> tuple[float, float]:
    """Wall seconds and processor seconds of one run."""
    began, processor = time.monotonic(), time.process_time()
    folder = RunFolder(path=out, job=job, config=config, address=None)
    run_in(folder, JOBS[job], Console(quiet=True), cluster=OwnProcess())
    return time.monotonic() - began, time.process_time() - processor


def main() -> None:
    """Print the seconds of each training as JSON; a short one before them loads what all need."""
    sweep, out = open_sweep(Path(sys.argv[1])), Path(sys.argv[2])
    kind, entries = JOBS[sweep.job].Config, read_entries(sweep.path)
    short = load_config(kind, None, [*sweep.overrides, "training.steps=1"])
    with reusing(Shelf()):
        train(sweep.job, short, out / "short")
        times = [train(sweep.job, sweep.config(kind, entry.fields), out / f"{entry.number:04d}") for entry in entries]
    print(json.dumps(times))


if __name__ == "__main__":
    main()
