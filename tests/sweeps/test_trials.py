"""Trials of a sweep, run one after the other without Ray: what their rows say, and what a later start does again."""

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import toy_sweep as cases
from toy_sweep import drive, failing_space, toy_sweep

from polyray.cluster import launch
from polyray.cluster.sweeping import trial
from polyray.runs.locking import locked
from polyray.sweeps.trials import read_rows


class Steps(list[tuple[str, int]]):
    """Run folders and steps in the order in which they ran.

    stop_at: a step at whose end somebody asks the run to stop, by this file.
    """

    stop_at: tuple[tuple[str, int], Path] | None = None

    def append(self, step: tuple[str, int]) -> None:
        super().append(step)
        if self.stop_at is not None and step == self.stop_at[0]:
            self.stop_at[1].touch()


@pytest.fixture(autouse=True)
def steps_run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Steps:
    if "report" not in request.node.name:  # which takes longer than all else here
        monkeypatch.setattr(launch, "write_report", lambda folder: None)
    steps = Steps()
    monkeypatch.setattr(cases, "ran", steps)
    return steps


def test_every_trial_is_a_run_folder_with_a_report_and_a_row(tmp_path: Path) -> None:
    sweep = toy_sweep(tmp_path, repeats=2, trials=2)
    assert drive(sweep) == [0, 1]
    rows = read_rows(sweep)
    lr = rows[1].fields["lr"]
    assert isinstance(lr, float)
    row = rows[1]
    assert (row.state, row.step, row.starts, row.seeds, row.reason) == ("done", 8, 2, (0, 1), "")
    assert row.seed_goals == pytest.approx((4 * lr, 4 * lr + 1))
    assert row.goal == pytest.approx(4 * lr + 0.5) == row.goals[0]
    assert json.loads((tmp_path / "trials" / "0001-1" / "result.json").read_text())["status"] == "done"
    assert (tmp_path / "trials" / "0001-1" / "report.html").exists()


def test_the_same_start_again_goes_on_and_does_nothing_twice(tmp_path: Path, steps_run: Steps) -> None:
    whole = toy_sweep(tmp_path / "whole")
    drive(whole)
    steps_run.clear()
    sweep = toy_sweep(tmp_path / "sweep")
    assert drive(sweep, 1) == [0]
    steps_run.stop_at = ("0001", 1), sweep.folders(1)[0] / "stop"  # as the driver does when it is interrupted
    assert drive(sweep, 1) == [1]
    assert [row.state for row in read_rows(sweep)] == ["done", "running"]
    assert drive(sweep) == [1, 2]
    assert drive(sweep) == []
    assert sorted(steps_run) == [(f"000{number}", step) for number in range(3) for step in range(1, 5)]
    assert [row.fields for row in read_rows(sweep)] == [row.fields for row in read_rows(whole)]
    assert [row.goal for row in read_rows(sweep)] == [row.goal for row in read_rows(whole)]
    assert drive(toy_sweep(tmp_path / "sweep", trials=4)) == [3]


def test_a_trial_that_fails_is_a_row_with_its_reason_and_does_not_end_the_sweep(tmp_path: Path) -> None:
    sweep = toy_sweep(tmp_path, space=failing_space("input", "infinite", "memory", "no"), searcher="grid", retries=1)
    assert drive(sweep) == [0, 1, 2, 3]
    rows = read_rows(sweep)
    assert [(row.state, row.reason) for row in rows] == [
        ("failed", "fail=input is no way to go."),
        ("failed", "FloatingPointError: The loss is inf after step 1: lower training.lr."),
        ("failed", "MemoryError: not enough"),
        ("done", ""),
    ]
    assert drive(sweep) == []


def test_a_trial_that_the_scheduler_stops_keeps_its_checkpoint_and_is_judged_again_by_the_same_validations(
    tmp_path: Path, steps_run: Steps
) -> None:
    sweep = toy_sweep(tmp_path, scheduler="asha")
    seen: list[tuple[int, int]] = []

    def stops(number: int, line: Mapping[str, Any]) -> bool:
        seen.append((number, line["step"]))
        return number == 1 and line["step"] == 2

    assert drive(sweep, stops=stops) == [0, 1, 2]
    rows = read_rows(sweep)
    assert [(row.state, row.step) for row in rows] == [("done", 4), ("stopped", 2), ("done", 4)]
    assert rows[1].reason == "stopped by the scheduler"
    assert rows[1].goal == pytest.approx(2 * float(str(rows[1].fields["lr"])))
    assert (sweep.folders(1)[0] / "checkpoints" / "step-00000002").is_dir()
    first, n_steps = sorted(seen), len(steps_run)
    seen.clear()
    assert drive(sweep, stops=stops) == [0, 1, 2]
    assert sorted(seen) == first and len(steps_run) == n_steps
    assert read_rows(sweep) == rows


def test_a_scheduler_that_stops_a_trial_at_its_last_step_lets_it_end(tmp_path: Path) -> None:
    sweep = toy_sweep(tmp_path, scheduler="asha", trials=1)
    drive(sweep, stops=lambda number, line: line["step"] == 4)
    assert [row.state for row in read_rows(sweep)] == ["done"]


def test_the_searcher_is_told_what_ended_and_how(tmp_path: Path) -> None:
    sweep = toy_sweep(tmp_path, searcher="tpe", trials=6, startup=3)
    drive(sweep, 4)
    drive(sweep)
    alone = toy_sweep(tmp_path / "alone", searcher="tpe", trials=6, startup=3)
    drive(alone)
    assert [row.fields for row in read_rows(sweep)] == [row.fields for row in read_rows(alone)]


def test_a_trial_waits_for_a_process_that_is_not_quite_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = toy_sweep(tmp_path, trials=2)
    with ExitStack() as locks:
        for number in (0, 1):
            sweep.folders(number)[0].mkdir(parents=True)
        locks.enter_context(locked(sweep.folders(0)[0] / ".lock"))
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            locks.close()

        monkeypatch.setattr(time, "sleep", wait)
        assert drive(sweep, 1) == [0] and waits == [2.0]
    monkeypatch.setattr(trial, "PATIENCE", -1.0)
    with locked(sweep.folders(1)[0] / ".lock"):
        drive(sweep)
    rows = read_rows(sweep)
    assert [row.state for row in rows] == ["done", "failed"] and "Another process is running" in rows[1].reason
