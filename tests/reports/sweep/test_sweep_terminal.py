"""A sweep in the terminal: table, map, a line a trial where there is no terminal, and no more often than is due."""

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console
from sweep_cases import RATES, ROUTING, quadratic, rated_rows, record, row

from polyray.config import Section
from polyray.errors import StorageError
from polyray.reports.sweep import display, terminal
from polyray.reports.sweep.display import Rhythm, SweepDisplay, finish, watch
from polyray.reports.sweep.terminal import lost_trials, overview, print_ends, rates_map, trials_table
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.rows import TrialRow
from polyray.sweeps.wording import progress_text

FAILED = row(
    9, None, "failed", fields={"training.lr": 1e-1, "training.routing_lr": 1e-3}, reason="[red]out of memory", starts=3
)


def plain() -> Console:
    return Console(file=io.StringIO(), width=120, force_terminal=False)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def printed(item: object) -> str:
    console = plain()
    console.print(item)
    return text_of(console)


def test_the_table_shows_the_best_trials_first_and_says_how_many_it_leaves_out() -> None:
    rows = [
        row(0, 0.25, fields={"routing.kind": "shared", "training.lr": 1e-3}, seed_goals=(0.2, 0.3)),
        row(1, 0.75, fields={"routing.kind": "<b>polytropon</b>", "routing.temperature": 1.5, "training.lr": 1e-3}),
        row(2, 0.9, "running", fields={"routing.kind": "shared", "training.lr": 1e-3}),
        row(3, None, "failed", fields={"routing.kind": "shared", "training.lr": 1e-3}, reason="[red]inf"),
    ]
    text = printed(trials_table(record(rows, ROUTING, planned=8), 3))
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    assert cells == [
        ["1", "<b>polytropon</b>", "1.5", "0.75", "10", "done"],
        ["0", "shared", "", "0.25 ± 0.071", "10", "done"],
        ["2", "shared", "", "0.9", "10", "running"],
    ]
    assert "polytropon dual_speed: 3 of 8 trials ended, 1 running, 1 failed" in text and "and 1 more" in text
    assert "failed: [red]inf" in printed(trials_table(record(rows, ROUTING), 9))


def test_the_map_has_the_best_trial_in_its_cell_and_the_worst_and_failed_ones_in_theirs() -> None:
    corners = [(1e-4, 1e-3), (1e-4, 1.0), (1e-1, 1.0)]
    rows = [
        row(number, goal, fields={"training.lr": x, "training.routing_lr": y})
        for number, (goal, (x, y)) in enumerate(zip((0.1, 0.4, 0.9), corners, strict=True))
    ]
    text = rates_map(record([*rows, FAILED]))
    assert text is not None
    lines = text.plain.splitlines()
    assert lines[1] == "    1 |3" + " " * 30 + "*" and lines[10] == "0.001 |0" + " " * 30 + "x"
    near = row(4, 0.2, fields={"training.lr": 1.01e-4, "training.routing_lr": 1.01e-3})  # in the cell of the worst
    shared = rates_map(record([*rows, near]))
    assert shared is not None and shared.plain.splitlines()[10].startswith("0.001 |1")
    assert lines[-1].split() == ["0.0001", "0.1"] and "training.routing_lr by training.lr" in lines[0]
    small = rates_map(record([replace(each, state="done") for each in rows], goals=(replace(RATES.goal, mode="min"),)))
    assert small is not None and small.plain.splitlines()[10].endswith("|*" + " " * 31)
    assert rates_map(record([row(0, 0.5)], ROUTING)) is None and rates_map(record([])) is None


def test_trials_that_were_begun_again_are_named() -> None:
    twice = row(1, 0.5, starts=2, folders=(Path("a"), Path("b")))
    once = row(2, 0.5, starts=1)
    assert lost_trials(record([once, twice])) is None
    text = lost_trials(record([twice, FAILED]))
    assert text is not None and text.plain == "Begun again after a loss or failure: trial 9 (3 starts, failed)"


def test_an_overview_fits_the_height_of_the_terminal() -> None:
    sweep = record([*rated_rows(9), FAILED])
    for height in (10, 24, 40):
        n_lines = printed(overview(sweep, height)).count("\n")
        assert n_lines <= max(height, 12), height
    assert "training.routing_lr by" in printed(overview(sweep, 40))
    assert "training.routing_lr by" not in printed(overview(sweep, 18))


def test_without_a_terminal_each_trial_that_ends_is_one_line() -> None:
    rows = rated_rows(2)
    looks = [[], [rows[0]], [rows[0], replace(rows[1], state="running")], [rows[0], rows[1]], [*rows, FAILED]]
    records = [record(each, planned=3, running=True) for each in looks]
    remaining = iter([*records, replace(records[-1], running=False)])
    console = plain()
    watch(lambda: next(remaining), console, seconds=0)
    lines = text_of(console).splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == ["trial 0 done", "trial 1 done", "trial 9 failed"]
    assert lines[0].endswith("(trial 0); 1 of 3 trials ended")
    assert "no goal, [red]out of memory; best" in lines[2]
    assert "polytropon dual_speed: 3 of 3 trials ended, 1 failed" in lines[3]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_takes_long_comes_rarely() -> None:
    clock = Clock()
    rhythm = Rhythm(10.0, share=0.05, clock=clock)
    done: list[float] = []

    def work(seconds: float) -> None:
        done.append(clock.now)
        clock.now += seconds

    for seconds, pause in ((0.1, 10.0), (2.0, 40.0)):
        assert rhythm.due()
        rhythm.run(partial(work, seconds))
        clock.now += pause - 0.01
        assert not rhythm.due()
        clock.now += 0.02
    assert rhythm.due() and len(done) == 2


def test_files_that_cannot_be_written_are_reported_once_and_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(sweep: SweepRecord) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(display, "write_files", refuse)
    monkeypatch.setattr(display, "FILES_SECONDS", 0.0)
    monkeypatch.setattr(display, "SHARE", 1e9)
    console = plain()
    with SweepDisplay(lambda: record(rated_rows(1)), console) as shown:
        for _ in range(3):
            shown.tick()
    text = text_of(console)
    assert text.count("The disk is full.") == 1 and text.count("trial 0 done") == 1


class Config(Section):
    n: int = 1
    """Number."""


def test_the_end_of_a_sweep_says_what_is_best_and_where_the_report_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Sequence[TrialRow]] = []
    monkeypatch.setattr(display, "write_files", lambda sweep: written.append(sweep.rows))
    console = plain()
    sweep = record(rated_rows(9), path=tmp_path)
    finish(sweep, Config(), console)
    lines = text_of(console).splitlines()
    assert sweep.best is not None and quadratic(sweep.best.fields) > 0.6
    assert lines[0].startswith(f"Best: trial {sweep.best.number}, mean 0.") and "training.lr=" in lines[0]
    assert lines[1].startswith("Best at training.lr ") and "ratio training.routing_lr / training.lr = " in lines[1]
    assert lines[2] == f"Run it: polyray run polytropon --config {tmp_path}/best.yaml"
    assert lines[3] == f"9 of 9 trials ended. The report is in {tmp_path}/report.html."
    assert written == [sweep.rows] and (tmp_path / "best.yaml").exists()
    finish(record([], path=tmp_path), None, console)
    assert text_of(console).splitlines()[4].startswith("0 of 0 trials ended.")


def test_lines_for_trials_that_end_at_once_count_all_trials_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []

    def counting(sweep: SweepRecord) -> str:
        counted.append(len(sweep.rows))
        return progress_text(sweep)

    monkeypatch.setattr(terminal, "progress_text", counting)
    console = plain()
    print_ends(console, None, record(rated_rows(36), planned=36))
    assert text_of(console).count("; 36 of 36 trials ended\n") == 36 and counted == [36]
