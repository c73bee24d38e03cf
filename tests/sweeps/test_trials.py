"""Trials of a sweep, run one after the other without Ray: what their rows say, and what a later start does again."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import toy_sweep as cases
from toy_sweep import drive, failing_space, toy_sweep

from polyray.cluster import launch
from polyray.cluster.sweeping import searcher, trial
from polyray.cluster.sweeping.searcher import JournalSearcher, handful_size
from polyray.runs.locking import locked
from polyray.sweeps.fields import Field, OneOf
from polyray.sweeps.journal import from_text
from polyray.sweeps.options import searcher_of
from polyray.sweeps.space import Goal, Space
from polyray.sweeps.trials import TrialRows, read_rows


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


def test_short_trials_are_given_to_a_worker_together_where_nobody_learns_from_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {(0.05,) * 8: 16, (0.05,) * 7: 1, (0.1,) * 7 + (0.4,): 2, (0.6,) + (0.01,) * 9: 1, (0.0,) * 8: 16}
    assert {seconds: handful_size(seconds) for seconds in sizes} == sizes
    monkeypatch.setattr(searcher, "handful_size", lambda seconds: 4 if len(seconds) > 1 else 1)
    handfuls: list[list[int]] = []
    drive(toy_sweep(tmp_path / "random", trials=9), handfuls=handfuls)
    drive(toy_sweep(tmp_path / "random", trials=11), handfuls=handfuls)  # trials of the start before count
    assert handfuls == [[0], [1], [2, 3, 4, 5], [6, 7, 8], [9, 10]]
    handfuls.clear()
    drive(toy_sweep(tmp_path / "tpe", trials=4, searcher="tpe"), handfuls=handfuls)
    drive(toy_sweep(tmp_path / "asha", trials=4, scheduler="asha"), handfuls=handfuls)
    assert handfuls == 2 * [[0], [1], [2], [3]]


def test_a_search_has_not_ended_while_trials_may_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searcher, "handful_size", lambda seconds: 2)
    sweep = toy_sweep(tmp_path, trials=2)
    with sweep.locked():
        chooses = searcher_of(sweep.space, sweep.options)
        journal = JournalSearcher(sweep, TrialRows(sweep), chooses, replay=False)

        def numbers(trial_id: str) -> list[int]:
            return [entry.number for entry in from_text(journal.suggest(trial_id)["trials"])]

        assert numbers("a") == [0, 1]
        assert journal.suggest("b") is None
        journal.on_trial_complete("a", error=True)
        assert (numbers("c"), numbers("d")) == ([0], [1])
        assert journal.suggest("e") == "FINISHED"
        journal.on_trial_complete("c", error=True)
        assert [row.state for row in read_rows(sweep)] == ["failed", "waiting"]


def test_trials_that_a_worker_left_are_given_again_and_each_alone_if_it_failed(
    tmp_path: Path, steps_run: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "handful_size", lambda seconds: 4 if seconds else 1)
    fields: dict[str, Field] = {"lr": OneOf((0.1, 0.2)), "fail": OneOf(("no", "infinite", "memory"))}
    space, handfuls = (
        Space(about="toy", job="toy", goal=Goal("mean"), searcher="grid", fields=fields),
        list[list[int]](),
    )
    failing = toy_sweep(tmp_path / "failing", space=space, searcher="grid")
    drive(failing, handfuls=handfuls)
    assert handfuls == [[0], [1, 2, 3, 4], [2], [3], [4], [5]]
    assert [row.state for row in read_rows(failing)] == ["done", "failed", "failed"] * 2
    assert Counter(name for name, _ in steps_run) == {"0000": 4, "0001": 1, "0002": 2, "0003": 4, "0004": 1, "0005": 1}
    monkeypatch.setattr(trial, "HANDFUL_PATIENCE", -1.0)
    steps_run.clear()
    handfuls.clear()
    drive(toy_sweep(tmp_path / "late", trials=4), handfuls=handfuls)
    assert handfuls == [[0], [1, 2, 3], [2, 3], [3]]
    assert sorted(steps_run) == [(f"{number:04d}", step) for number in range(4) for step in range(1, 5)]


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
