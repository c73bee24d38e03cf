"""The pictures of a sweep's report, and the whole page in a browser."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser_cases import ask, browser
from sweep_cases import RATES, ROUTING, rated_rows, record, row

from polyray.reports.page import Facts, Picture, Prose, Section
from polyray.reports.sweep import budget, coordinates, rates
from polyray.reports.sweep.report import SECTIONS, write_sweep_report
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.space import Goal

pytestmark = pytest.mark.processes  # pictures take seconds, and a browser more

DRAWN = {"training.lr": 1e-3, "training.routing_lr": 1e-1}


def blocks(section: Section | None, kind: type[Any]) -> list[Any]:
    assert section is not None
    return [block for block in section.blocks if isinstance(block, kind)]


def full_sweep(path: Path) -> SweepRecord:
    """Trials of every state, with folders, two goals and schedules."""
    rows = []
    for each in rated_rows(14):
        folder = path / "trials" / f"{each.number:04d}"
        folder.mkdir(parents=True)
        (folder / "report.html").write_text("the trial's own report")
        assert each.goal is not None
        rows.append(replace(each, folders=(folder,), goals=(each.goal, 1.0 + each.number % 5)))
    changes = [[0, DRAWN], [5, {"training.lr": 8e-4}]]
    (rows[0].folders[0] / "schedule.json").write_text(json.dumps({"changes": changes}))
    rows[3] = replace(rows[3], state="stopped", reason="stopped by asha")
    rows[4] = replace(rows[4], state="failed", goal=None, goals=(), seed_goals=(), reason="<b>diverged</b>", starts=3)
    goals = (Goal("mean"), Goal("seconds", "min"))
    return record([*rows, row(14, None, "running", fields=DRAWN)], path=path, goals=goals, name="<i>dual</i>")


def test_the_page_shows_every_plot_and_the_table_in_a_browser(tmp_path: Path) -> None:
    sweep = full_sweep(tmp_path)
    assert sweep.best is not None
    page = write_sweep_report(sweep)
    with browser() as port:
        sizes = ask(port, page, "[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().toJSON())")
        text = ask(port, page, "document.body.innerText")
        headings = ask(port, page, "[...document.querySelectorAll('h2')].map(h => h.innerText)")
        cells = ask(port, page, "[...document.querySelectorAll('#s7 tbody tr')].map(r => r.cells[0].innerText)")
        fetched = ask(port, page, "performance.getEntriesByType('resource').map(e => e.name)")
        link = ask(port, page, "document.querySelector('#s7 tbody a').href")
    assert headings == [
        "Result", "The two rates", "Fields and goal", "Several goals", "Score against budget",
        "Importance of the fields", "Schedules", "Trials", "Failed trials", "Trials that were begun again", "Sweep",
    ]  # fmt: skip
    assert len(headings) == len(SECTIONS) - 1  # the trade-offs are of systems that answer in dialogues
    assert len(sizes) == 8 and all(size["width"] > 300 and size["height"] > 50 for size in sizes)
    assert cells == [str(each.number) for each in sweep.ranked]
    assert link == (tmp_path / "trials" / f"{sweep.best.number:04d}" / "report.html").as_uri()
    assert fetched == []
    assert "<b>diverged</b>" in text and "<i>dual</i>" in text and "stopped by asha" not in headings
    assert re.search(r"ratio training.routing_lr / training.lr = [\d.]+ \(95 %: [\d.]+ to [\d.]+\)", text)


def test_few_trials_have_a_map_but_no_optimum() -> None:
    section = rates.section(record([row(0, 0.5, fields=DRAWN), row(1, None, "failed", fields=DRAWN)]))
    assert len(blocks(section, Picture)) == 2 and not blocks(section, Facts)
    (prose,) = blocks(section, Prose)
    assert prose.text.startswith("An optimum needs 8 trials") and "; 1 have ended" in prose.text
    assert rates.section(record([row(0, 0.5)], ROUTING)) is None


def test_the_best_goal_so_far_never_gets_worse_and_counts_the_steps_of_all_trials() -> None:
    rows = [row(0, 0.3, step=10), row(1, None, "failed", step=5), row(2, 0.1, step=10), row(3, 0.4, step=20)]
    for mode, best in (("max", [0.3, 0.3, 0.4]), ("min", [0.3, 0.1, 0.1])):
        sweep = record(rows, goals=(Goal("mean", "max" if mode == "max" else "min"),))
        assert budget.points(sweep) == ([(1, 10, 0.3), (3, 25, 0.1), (4, 45, 0.4)], best)


def test_trials_are_lines_from_their_fields_to_their_merit() -> None:
    rows = [
        row(0, 0.2, fields={"routing.kind": "shared", "training.lr": 1e-4}),
        row(1, 0.6, fields={"routing.kind": "<b>polytropon</b>", "routing.temperature": 2.0, "training.lr": 1e-1}),
        row(2, 0.4, fields={"routing.kind": "shared", "training.lr": 10**-2.5}),
    ]
    most, least = record(rows, ROUTING), record(rows, ROUTING, goals=(Goal("loss", "min"),))
    lines = {tuple(map(float, line.get_ydata())) for line in _lines(most)}
    missing = coordinates.UNREAD
    assert {(1.0, missing, 0.0, 0.0), (0.0, 1.0, 1.0, 1.0)} <= lines
    assert {round(line[-1], 9) for line in lines} == {0.0, 0.5, 1.0}
    thick = [line for line in _lines(least) if line.get_linewidth() > 2]
    assert [float(line.get_ydata()[-1]) for line in thick] == [1.0] and thick[0].get_ydata()[0] == 1.0


def _lines(sweep: SweepRecord) -> list[Any]:
    (axes, _) = coordinates.parallel_coordinates(sweep, sweep.ranked).axes
    return [line for line in axes.lines if line.get_marker() == "o"]


def test_every_picture_of_one_trial_is_drawn() -> None:
    sweep = record([row(0, 0.5, fields=DRAWN)], RATES)
    keys = [key for key, build in SECTIONS.items() if build(sweep) is not None]
    assert keys == ["result", "rates", "coordinates", "budget", "importance", "trials", "about"]
