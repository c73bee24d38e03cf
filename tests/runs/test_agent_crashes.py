"""Trainings of agents of which a file operation fails, or is the last, end like an untouched one after a resume."""

import signal
import tempfile
from pathlib import Path

import pytest
from crash_agents import LOSSES, agents
from crash_cases import (
    FailingDisk,
    Record,
    check,
    check_every_operation,
    crashes,
    in_process,
    of_finished,
    unbroken,
)

from polyray.files.disk import Point, using

pytestmark = pytest.mark.filterwarnings("default")  # RLlib's own


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


@pytest.mark.agents
def test_a_killed_training_leaves_no_folder_outside_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def be_killed() -> None:
        with using(FailingDisk(150, "SIGKILL", tmp_path / "journal")):  # at a checkpoint of the training
            agents(tmp_path / "run")

    assert in_process(be_killed).code == -signal.SIGKILL
    assert (tmp_path / "run" / "checkpoints" / "training").is_dir()
    assert not list(temporary.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_operation_of_an_agents_training_fails(record_property: Record, tmp_path: Path) -> None:
    check_every_operation(record_property, agents, tmp_path, LOSSES)
