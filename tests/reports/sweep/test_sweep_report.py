"""The report of a sweep is one page from its record; each section shows what the trials have something for."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sweep_cases import ROUTING, record, row

from polyray.errors import InputError
from polyray.reports.page import Facts, Links, Section, Table, page
from polyray.reports.sweep import report, schedules, tables
from polyray.reports.sweep.report import SECTIONS, write_sweep_report
from polyray.reports.sweep.scales import ticks
from polyray.sweeps.fields import Grid, IntRange, LogUniform, OneOf
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.space import Goal
from polyray.training.schedule import read_schedule

RATES_DRAWN = {"training.lr": 1e-3, "training.routing_lr": 1e-1}


def shown(sweep: SweepRecord, leave_out: str = "") -> dict[str, Section]:
    """The sections of the page by their keys, without one that takes a second to draw."""
    builds = {key: build for key, build in SECTIONS.items() if key != leave_out}
    return {key: section for key, build in builds.items() if (section := build(sweep)) is not None}


def blocks(section: Section, kind: type[Any]) -> list[Any]:
    return [block for block in section.blocks if isinstance(block, kind)]


def html(section: Section) -> str:
    return page("", [section])


def test_a_sweep_without_results_has_a_page_that_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "trials" / "0001"
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("Traceback")
    reason = "RunError: the loss is <not finite>"
    failed = [
        row(0, None, "failed", fields=RATES_DRAWN, reason="out of memory"),
        row(1, None, "failed", fields={**RATES_DRAWN, "training.lr": 1e-2}, reason=reason, folders=(folder,), starts=3),
    ]
    assert list(shown(record([], planned=4, running=True))) == ["result", "about"]
    sections = shown(record(failed, path=tmp_path), leave_out="rates")
    assert list(sections) == ["result", "trials", "failed", "begun_again", "about"]
    assert "No trial has ended with a goal yet." in html(sections["result"])
    text = html(sections["failed"])
    assert "out of memory" in text and "the loss is &lt;not finite&gt;" in text
    assert '<a href="./trials/0001/log.txt">log.txt</a>' in text
    (table,) = blocks(sections["begun_again"], Table)
    assert [list(cells) for cells in table.rows] == [[1, 3, 10, "failed", reason]]


def test_names_and_missing_fields_are_shown_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = ("coordinates", "budget")  # pictures, which take seconds
    monkeypatch.setattr(report, "SECTIONS", {key: build for key, build in SECTIONS.items() if key not in without})
    one = row(0, 0.5, fields={"routing.kind": "<b>polytropon</b>", "routing.temperature": 1.0, "training.lr": 1e-3})
    other = row(1, 0.25, fields={"routing.kind": "shared", "training.lr": 1e-3}, seed_goals=(0.2, 0.3))
    sweep = record([one, other], ROUTING, tmp_path, name="my <i>space</i>.yaml", planned=3, running=True)
    path = write_sweep_report(sweep)
    text = path.read_text()
    assert path == tmp_path / "report.html" and '<meta http-equiv="refresh" content="15">' in text
    assert "<b>" not in text and "<i>" not in text and "&lt;b&gt;polytropon" in text
    assert "It is computed when the sweep has ended." in text
    text = write_sweep_report(replace(sweep, running=False)).read_text()
    assert "This needs 10 trials that have ended, with goals that differ; 2 have ended with a goal." in text
    assert '<td>shared</td><td></td><td class="number">' not in text  # lr does not vary: it is no column
    assert "<td>shared</td><td></td><td>0.25 ± 0.071</td>" in text


def test_trials_are_listed_best_first_with_links_to_their_own_reports(tmp_path: Path) -> None:
    rows = [row(number, 0.1 * number, fields={"training.lr": 10**-number}) for number in (1, 2, 3)]
    for number, repeats in ((2, 1), (3, 2)):
        folders = tuple(tmp_path / "trials" / f"000{number}-{repeat}" for repeat in range(repeats))
        for folder in folders:
            folder.mkdir(parents=True)
            (folder / "report.html").write_text("")
        rows[number - 1] = replace(rows[number - 1], folders=folders)
    (tmp_path / "best.yaml").write_text("")
    sweep = record(rows, path=tmp_path, goals=(Goal("mean"), Goal("seconds", "min")))
    trials, result = tables.trials(sweep), tables.result(sweep)
    assert trials is not None
    (table,) = blocks(trials, Table)
    assert table.header == ["trial", "lr", "mean", "seconds", "steps", "seconds", "state"]
    assert [cells[0] if isinstance(cells[0], int) else cells[0].links for cells in table.rows] == [
        [("3-0", Path("trials/0003-0/report.html")), ("3-1", Path("trials/0003-1/report.html"))],
        [("2", Path("trials/0002-0/report.html"))],
        1,
    ]
    (facts,) = blocks(result, Facts)
    assert facts.facts["mean (max)"] == "0.3" and facts.facts["training.lr"] == "0.001"
    assert facts.facts["run it"] == f"polyray run polytropon --config {tmp_path / 'best.yaml'}"
    assert isinstance(facts.facts["best trial"], Links)


def test_a_schedule_is_drawn_as_a_staircase_and_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "schedule.json"
    file.write_text(json.dumps({"changes": [[0, {"training.lr": 0.1}], [20, {"training.lr": 0.08}]]}))
    assert schedules.staircase(read_schedule(file).changes, "training.lr", 50) == (
        [0, 20, 20, 50],
        [0.1, 0.1, 0.08, 0.08],
    )
    assert schedules.staircase(read_schedule(file).changes, "training.routing_lr", 50) == ([], [])
    assert schedules.staircase(read_schedule(file).changes, "training.lr", 20)[0] == [0, 20, 20]
    assert schedules.section(record([row(0, 0.5)])) is None
    for content in ('{"changes": [[0, {"training.lr": "x"}]]}', "[]", '{"steps": []}'):
        file.write_text(content)
        with pytest.raises(InputError, match=r"schedule\.json"):
            read_schedule(file)


def test_ticks_of_an_axis_name_values_of_the_field() -> None:
    assert ticks(LogUniform(1e-4, 1e-2)) == [(0.0, "0.0001"), (pytest.approx(0.5), "0.001"), (1.0, "0.01")]
    assert ticks(OneOf(("a", "b", "c"))) == [(0.0, "a"), (0.5, "b"), (1.0, "c")]
    assert ticks(IntRange(2, 6, 2)) == [(0.0, "2"), (0.5, "4"), (1.0, "6")]
    assert [label for _, label in ticks(IntRange(0, 100))] == ["0", "50", "100"]
    assert ticks(Grid((7,))) == [(0.5, "7")]
