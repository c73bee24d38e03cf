"""Runs of which every file operation in turn fails, or is the last, end like an untouched one once they are resumed."""

from pathlib import Path

import pytest
from crash_cases import Record, check, check_every_operation, crashes, of_finished, unbroken
from crash_scenarios import adaptation, language, small

from polyray.files.disk import Point

LOSSES = ("skills/a/card.json", "allocation.json")  # of a finished run, which then writes its folders once more


def test_some_operations_of_a_small_run_fail(record_property: Record, tmp_path: Path) -> None:
    unbroken(small, tmp_path / "finished")
    again = of_finished(tmp_path / "finished", *LOSSES)
    (tmp_path / "new").mkdir()
    (tmp_path / "again").mkdir()
    check(
        record_property,
        crashes(small, tmp_path / "new", first=3, every=37),
        crashes(small, tmp_path / "again", ["SIGKILL"], first=8, every=29, start=again),
        points=[point for point in Point if point is not Point.FOLDER_PUT_BACK],
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_operation_of_a_small_run_fails(record_property: Record, tmp_path: Path) -> None:
    check_every_operation(record_property, small, tmp_path, LOSSES)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_operation_of_a_training_fails(record_property: Record, tmp_path: Path) -> None:
    check_every_operation(record_property, language, tmp_path, ["skills/skill-0/card.json"])


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_operation_of_an_adaptation_fails(record_property: Record, tmp_path: Path) -> None:
    unbroken(language, tmp_path / "trained")
    adapting = adaptation(tmp_path / "trained" / "skills")
    check_every_operation(record_property, adapting, tmp_path, ["skills/*/card.json"])
