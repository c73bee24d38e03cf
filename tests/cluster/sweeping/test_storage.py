"""A sweep behind a URL: each trial is published by its own process, and goes on in another one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from crash_scenarios import a_plain_report
from fsspec.implementations.memory import MemoryFileSystem
from store_cases import DeadError
from toy_sweep import SPACE, TOY, ToyConfig, drive, failing_space, ran, run_toy, toy_sweep

from polyray.cluster.sweeping.storage import RemoteStorage, is_ours
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.runs.store.fetching import fetch
from polyray.runs.store.following import is_light
from polyray.runs.store.working import working_copy
from polyray.sweeps.folder import SweepFolder, open_sweep
from polyray.sweeps.space import Space
from polyray.sweeps.trials import read_rows


@pytest.fixture
def url() -> Iterator[str]:
    """A new folder in this process's memory; reports have no pictures, which take most of the time."""
    with a_plain_report():
        yield f"memory://{uuid4().hex}/sweep"
    MemoryFileSystem.store.clear()


def start(url: str, n_trials: int = 100, job: Job = TOY, space: Space = SPACE, **options: Any) -> list[int]:
    """One start of a sweep behind `url`, whose driver dies after so many trials: the trials that it ran."""
    with working_copy(url, print, covers=is_ours, reads=is_light) as store:
        sweep = replace(toy_sweep(store.folder, space=space, **options), url=url)
        return drive(sweep, n_trials, job=job, storage=RemoteStorage(sweep, store))


def outcomes(sweep: SweepFolder) -> list[object]:
    """Records that do not depend on the folders and the number of starts of a sweep."""
    rows = read_rows(sweep)
    lines = [(folder / "metrics.jsonl").read_text() for row in rows for folder in row.folders]
    return [(sweep.path / "trials.jsonl").read_text(), lines, [(row.state, row.goals, row.step) for row in rows]]


def dying(config: ToyConfig, run: Run) -> Result:
    """The toy job in a process that dies at step 3."""

    def die(line: Mapping[str, Any]) -> None:
        if line["step"] == 3:
            raise DeadError

    return run_toy(config, Run(run.out, hooks=[die], store=run.store))


def test_trials_go_on_from_their_checkpoints_in_other_folders(url: str, tmp_path: Path) -> None:
    repeats = 2
    plain = toy_sweep(tmp_path / "plain", repeats=repeats)
    drive(plain)
    ran.clear()
    with pytest.raises(DeadError):
        start(url, job=replace(TOY, run=dying), repeats=repeats)
    assert [step for _, step in ran] == [1, 2, 3]
    assert start(url, n_trials=1, repeats=repeats) == [0]
    assert start(url, repeats=repeats) == [1, 2]
    assert [step for folder, step in ran if folder == "0000-0"] == [1, 2, 3, 3, 4]
    fetch(url, tmp_path / "fetched", print)
    assert outcomes(open_sweep(tmp_path / "fetched")) == outcomes(plain)


def test_failures_are_published_by_the_trial_and_by_the_driver(url: str, tmp_path: Path) -> None:
    ways = failing_space("input", "memory", "no")
    start(url, space=ways, searcher="grid")
    fetch(url, tmp_path / "fetched", print)
    rows = read_rows(open_sweep(tmp_path / "fetched"))
    assert [row.state for row in rows] == ["failed", "failed", "done"]
    assert "fail=input is no way to go" in rows[0].reason and "not enough" in rows[1].reason
    assert start(url, space=ways, searcher="grid") == []
