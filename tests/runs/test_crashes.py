"""Runs of which every file operation in turn fails, or is the last, end like an untouched one once they are resumed."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from crash_cases import Crashes, adaptation, crashes, language, of_finished, small, unbroken

from polyray.files.disk import Point

LOSSES = ("skills/a/card.json", "allocation.json")  # of a finished run, which then writes its folders once more
Record = Callable[[str, object], None]


def check(record: Record, *results: Crashes, points: Sequence[Point] = tuple(Point)) -> None:
    """Nothing went wrong, and every point was passed; the figures are those of docs/reliability.md."""
    passed = sum((result.points for result in results), Counter[str]())
    record("crash points", sum(result.n for result in results))
    record("crash points that went wrong", sum(len(result.wrong) for result in results))
    wrong = [line for result in results for line in result.wrong]
    assert not wrong, "\n".join(wrong)
    assert not [point.name for point in points if not passed[point.name]], "points that were never reached"


def check_every_operation(record: Record, job: Callable[[Path], None], folder: Path, losses: Sequence[str]) -> None:
    """Let every operation of the job fail, in a new folder and over a finished run that lost these files."""
    unbroken(job, folder / "finished")
    again = of_finished(folder / "finished", *losses)
    (folder / "new").mkdir()
    (folder / "again").mkdir()
    check(record, crashes(job, folder / "new"), crashes(job, folder / "again", start=again))


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
    unbroken(adapting, tmp_path / "finished")
    losses = [f"skills/{path.name}/card.json" for path in (tmp_path / "finished" / "skills").iterdir()]
    again = of_finished(tmp_path / "finished", *losses)
    (tmp_path / "new").mkdir()
    (tmp_path / "again").mkdir()
    check(
        record_property,
        crashes(adapting, tmp_path / "new"),
        crashes(adapting, tmp_path / "again", start=again),
        points=[point for point in Point if point is not Point.LINE_APPENDED],
    )
