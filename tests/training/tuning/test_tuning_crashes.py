"""Runs of ltsft whose disk fails or whose process is killed, in either phase and between them."""

from pathlib import Path

import pytest
from crash_cases import FAULTS, Record, check, crashes
from crash_scenarios import a_plain_report
from rich.console import Console
from tuning_cases import TINY, write_names

from polyray.cluster.inside import OwnProcess
from polyray.cluster.launch import run_in
from polyray.config import load_config
from polyray.jobs.ltsft import JOB, Config
from polyray.runs.folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_a_run_that_is_killed_at_any_operation_ends_the_same(tmp_path: Path, record_property: Record) -> None:
    write_names(tmp_path / "data")
    options = [*TINY, f"tasks.path={tmp_path / 'data'}", "method.k=300", "method.full_steps=1", "name=ner"]
    config = load_config(Config, overrides=options)

    def tune(out: Path) -> None:
        with a_plain_report():
            run_in(RunFolder(path=out, job="ltsft", config=config, address=None), JOB, quiet, cluster=OwnProcess())

    quiet = Console(quiet=True)
    (tmp_path / "runs").mkdir()
    check(record_property, crashes(tune, tmp_path / "runs", FAULTS, every=3), points=())
