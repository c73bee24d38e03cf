"""A run from inside: one metrics file, checkpoints that are whole, and a start where the last one ended."""

import json
import math
import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from polyray.errors import RunError
from polyray.runs.checkpoint import latest_checkpoint, step_of, write_checkpoint
from polyray.runs.metrics import METRICS, read_metrics
from polyray.runs.run import Run


def fill(text: str = "content") -> Any:
    """Writer of a checkpoint with two files, one of them in a folder."""

    def write(folder: Path) -> None:
        (folder / "inner").mkdir()
        (folder / "inner" / "a.txt").write_text(text)
        (folder / "b.txt").write_text(text)

    return write


def steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in `folder`; nothing else may be in it."""
    return sorted(step_of(path) for path in folder.iterdir())


def test_a_report_is_one_line_without_times_and_its_speed_stands_elsewhere(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.report(4, {"loss": 0.5, "lr": {"skills": 1e-3}, "tasks": {"a": None}}, tokens_per_second=7.0)
    run.report(8, {"loss": math.nan, "n": np.int64(2)}, tokens_per_second=9.0)
    lines = (tmp_path / METRICS).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 4, "loss": 0.5, "lr": {"skills": 0.001}, "tasks": {"a": None}},
        {"step": 8, "loss": None, "n": 2},
    ]
    progress = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert progress[0] == {"step": 4, "loss": 0.5, "tokens_per_second": 7.0} and progress[1]["step"] == 8


def test_the_latest_headlines_stand_in_every_line_of_progress(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.report(1, {"loss": 2.0})
    run.report(2, {"validation": {"score": 0.5, "tasks": {"a": 0.5}}})
    run.report(3, {"loss": 1})
    progress = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert progress == [
        {"step": 1, "loss": 2.0}, {"step": 2, "loss": 2.0, "validation": 0.5},
        {"step": 3, "loss": 1, "validation": 0.5},
    ]  # fmt: skip


def test_numbers_of_a_report_are_scalars_of_tensorboard(tmp_path: Path) -> None:
    Run(tmp_path).report(4, {"loss": 0.5, "lr": {"skills": 0.25}, "name": "x", "done": True})
    Run(tmp_path).phase("dense").report(1, {"success": 0.75})
    assert scalars(tmp_path / "tensorboard") == {"loss": [(4, 0.5)], "lr/skills": [(4, 0.25)]}
    assert scalars(tmp_path / "tensorboard" / "dense") == {"success": [(1, 0.75)]}


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(next(file for file in folder.iterdir() if file.is_file())))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def test_the_first_worker_writes_and_every_worker_calls_the_hooks(tmp_path: Path) -> None:
    reports: list[Mapping[str, Any]] = []
    for rank in (1, 0):
        run = Run(tmp_path, rank=rank, hooks=[reports.append]).phase("dense")
        assert run.first == (rank == 0)
        run.report(2, {"loss": 0.5})
        run.checkpoint(2, fill())
        assert (tmp_path / METRICS).exists() == (tmp_path / "checkpoints").exists() == run.first
    assert reports == [{"phase": "dense", "step": 2, "loss": 0.5}] * 2


def test_a_run_within_a_run_has_a_folder_of_its_own_and_stops_with_it(tmp_path: Path) -> None:
    reports: list[Mapping[str, Any]] = []
    whole = Run(tmp_path, hooks=[reports.append])
    for loss in (0.5, 0.25):  # the second time the folder is there
        whole.within("private").report(2, {"loss": loss})
    assert [line["loss"] for line in read_metrics(tmp_path / "private")] == [0.5, 0.25]
    assert len(reports) == 2 and not (tmp_path / METRICS).exists()
    whole.stop_file.touch()
    assert whole.within("private").stop_requested


def test_the_newest_two_checkpoints_stay_and_the_newest_is_restored(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.restored() is None
    for step in (1, 2, 10):
        run.checkpoint(step, fill(str(step)))
    assert steps(tmp_path / "checkpoints") == [2, 10]
    restored = run.restored()
    assert restored is not None and (restored / "inner" / "a.txt").read_text() == "10"
    with pytest.raises(ValueError, match="keep=0"):
        write_checkpoint(tmp_path / "checkpoints", 11, fill(), keep=0)


def test_a_phase_has_checkpoints_and_lines_of_its_own(tmp_path: Path) -> None:
    whole = Run(tmp_path)
    dense, training = whole.phase("dense"), whole.phase("training")
    dense.report(3, {"loss": 1.0})
    dense.checkpoint(3, fill("dense"))
    training.report(1, {"loss": 2.0})
    training.report(2, {"loss": 3.0})
    training.checkpoint(1, fill("training"))
    restored = training.restored()
    assert restored is not None and (restored / "b.txt").read_text() == "training"
    assert [line["loss"] for line in read_metrics(tmp_path)] == [1.0, 2.0]
    assert [line["loss"] for line in read_metrics(tmp_path, "training")] == [2.0]
    assert steps(tmp_path / "checkpoints" / "dense") == [3]
    assert whole.restored() is None and len(read_metrics(tmp_path)) == 2
    with pytest.raises(ValueError, match="small letters"):
        whole.phase("step-1")


def test_lines_after_the_checkpoint_and_a_line_cut_short_are_taken_back(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for step in (4, 8, 12):
        run.report(step, {"loss": 1.0})
        if step == 8:
            run.checkpoint(step, fill())
    for name in (METRICS, "progress.jsonl"):
        with (tmp_path / name).open("a") as file:
            file.write('{"step": 16, "lo')
    assert [line["step"] for line in read_metrics(tmp_path)] == [4, 8, 12]
    Run(tmp_path, rank=1).restored()
    assert '"lo' in (tmp_path / METRICS).read_text(), "only the first worker mends files"
    Run(tmp_path).restored()
    assert [json.loads(line)["step"] for line in (tmp_path / METRICS).read_text().splitlines()] == [4, 8]
    assert [json.loads(line)["step"] for line in (tmp_path / "progress.jsonl").read_text().splitlines()] == [4, 8, 12]
    (tmp_path / "checkpoints" / "step-00000008" / "b.txt").unlink()
    Run(tmp_path).restored()
    assert (tmp_path / METRICS).read_text() == ""


@pytest.mark.parametrize("damage", ["missing", "altered", "added", "no sums"])
def test_a_damaged_checkpoint_is_reported_and_passed_over(damage: str, tmp_path: Path, logged: StringIO) -> None:
    for step in (1, 2):
        write_checkpoint(tmp_path, step, fill())
    newest = tmp_path / "step-00000002"
    file = newest / {"missing": "inner/a.txt", "altered": "b.txt", "added": "c.txt", "no sums": "sums.json"}[damage]
    if damage in ("missing", "no sums"):
        file.unlink()
    else:
        file.write_text("other")
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000001"
    assert f"{newest} is damaged ({file.relative_to(newest)} is missing" in logged.getvalue()
    write_checkpoint(tmp_path, 2, fill())  # the run comes by again
    assert latest_checkpoint(tmp_path) == newest and steps(tmp_path) == [1, 2]


def test_a_checkpoint_whose_writing_failed_is_not_there(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "a.txt").write_text("a")
        raise OSError("disk full")

    write_checkpoint(tmp_path, 1, fill())
    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(tmp_path, 2, fail)
    assert steps(tmp_path) == [1]
    (tmp_path / ".writing-step-00000007-0123abcd").mkdir()  # a killed process left it
    write_checkpoint(tmp_path, 3, fill())
    assert steps(tmp_path) == [1, 3]


def test_everything_is_on_the_disk_before_the_checkpoint_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, bool]] = []  # number of a file or folder, and whether the checkpoint has its name
    final = tmp_path / "step-00000001"

    open_files = set(os.listdir("/dev/fd"))

    def note(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, final.exists()))

    monkeypatch.setattr(os, "fsync", note)
    write_checkpoint(tmp_path, 1, fill())
    names = {path.stat().st_ino: str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    before = {names[number].removeprefix(final.name) for number, renamed in synced if not renamed}
    assert before == {"", "/inner", "/inner/a.txt", "/b.txt", "/sums.json"}
    assert [number for number, renamed in synced if renamed] == [tmp_path.stat().st_ino]
    assert set(os.listdir("/dev/fd")) == open_files  # none is left open


def test_a_user_asks_a_run_to_stop_with_a_file(tmp_path: Path) -> None:
    run = Run(tmp_path)
    before = run.stop_requested
    (tmp_path / "stop").touch()
    assert (before, run.stop_requested, run.phase("dense").stop_requested) == (False, True, True)


def test_a_run_that_nobody_gave_a_cluster_has_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no cluster"):
        Run(tmp_path).cluster.start()
    assert os.listdir(tmp_path) == []
