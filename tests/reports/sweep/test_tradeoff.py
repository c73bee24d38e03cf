"""The section on trade-offs of a sweep over systems that answer."""

from pathlib import Path

import pytest
from sweep_cases import record, row

from polyray.reports.page import Picture, Table
from polyray.reports.sweep.tradeoff import front, section
from polyray.runs.result import write_result
from polyray.sweeps.rows import TrialRow


def trial(out: Path, number: int, **means: float) -> TrialRow:
    folder = out / str(number)
    folder.mkdir()
    write_result(folder, "respond", "done", 1.0, {"means": means})
    return row(number, 0.5, fields={"system.expert_weight": number}, folders=(folder,))


def test_a_front_by_hand() -> None:
    # beaten: (1, 1) by all; (2, 2) by (2, 3); two equal points are both on the front
    assert front([(1, 1), (2, 3), (3, 2), (2, 2), (3, 2)]) == [1, 4, 2]
    assert front([(0.0, 0.0)]) == [0] and front([]) == []


@pytest.mark.processes  # pictures take seconds
def test_the_section_is_drawn_from_the_results_of_the_trials_alone(tmp_path: Path) -> None:
    values = {"Density": 2.0, "BLEU": 0.1, "Knowledge-F1": 0.3}
    rows = [
        trial(tmp_path, 0, **values), trial(tmp_path, 1, **{**values, "Knowledge-F1": 0.5, "Density": 4.0}),
        trial(tmp_path, 2, **{**values, "Knowledge-F1": 0.2}),
    ]  # fmt: skip
    shown = section(record(rows))
    assert shown is not None
    picture, table = shown.blocks
    assert isinstance(picture, Picture) and isinstance(table, Table)
    assert table.header[1] == "Knowledge-F1"
    assert [line[:4] for line in table.rows] == [[0, 0.3, 2.0, 0.1], [1, 0.5, 4.0, 0.1]]
    judged = [trial(tmp_path, 10 + each.number, **values, Critic=0.25 * each.number) for each in rows]
    shown = section(record(judged))
    assert shown is not None and isinstance(shown.blocks[1], Table)
    assert shown.blocks[1].header[1] == "1 - Critic" and [line[1] for line in shown.blocks[1].rows] == [1.0]


def test_sweeps_of_other_jobs_have_no_trade_offs(tmp_path: Path) -> None:
    assert section(record([trial(tmp_path, 0, accuracy=0.5)])) is None
    assert section(record([row(1)])) is None
