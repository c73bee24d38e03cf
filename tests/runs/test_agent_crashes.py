"""Trainings of agents of which a file operation fails, or is the last, end like an untouched one after a resume."""

from pathlib import Path

import pytest
from crash_agents import agents
from crash_cases import Record, check, check_every_operation, crashes, of_finished, unbroken

from polyray.files.disk import Point

pytestmark = pytest.mark.filterwarnings("default")  # RLlib's own
LOSSES = ("skills/skill-0/card.json", "ticket/inventory/inventory.json", "cloning.json")  # of a finished run


@pytest.mark.agents
def test_some_operations_of_an_agents_training_fail(record_property: Record, tmp_path: Path) -> None:
    unbroken(agents, tmp_path / "finished")
    again = of_finished(tmp_path / "finished", *LOSSES)
    (tmp_path / "new").mkdir()
    (tmp_path / "again").mkdir()
    check(
        record_property,
        crashes(agents, tmp_path / "new", first=20, every=71),
        crashes(agents, tmp_path / "again", ["SIGKILL"], first=8, every=1000, start=again),
        points=[point for point in Point if point is not Point.FOLDER_PUT_BACK],
    )


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_operation_of_an_agents_training_fails(record_property: Record, tmp_path: Path) -> None:
    check_every_operation(record_property, agents, tmp_path, LOSSES)
