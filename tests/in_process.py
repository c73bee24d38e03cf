"""A job run in the test's own process, in a folder as a user's is, without a cluster and without pictures."""

from pathlib import Path

from crash_scenarios import a_plain_report
from rich.console import Console

from polyray.cluster.inside import OwnProcess
from polyray.cluster.launch import run_in
from polyray.config import load_config
from polyray.jobs.table import JOBS
from polyray.runs.folder import RunFolder
from polyray.runs.job import Result


def run_here(job: str, out: Path, *overrides: str) -> Result:
    """Run a job as the command line does, in this process."""
    config = load_config(JOBS[job].Config, overrides=overrides)
    with a_plain_report():
        folder = RunFolder(path=out, job=job, config=config, address=None)
        return run_in(folder, JOBS[job], Console(quiet=True), cluster=OwnProcess())
