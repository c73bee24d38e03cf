"""Runs that a process of their own tells to a tracker: kills, hangs and absences stay without effect on them."""

import io
import os
import signal
import time
from pathlib import Path

import pytest
from fork_cases import in_child
from rich.console import Console
from tracker_cases import AWAY, HANGS, DiaryTracker, calls, calls_in_short

from polyray.cli import main
from polyray.cluster.launch import run_job
from polyray.config import Section
from polyray.errors import InputError, Interrupted
from polyray.jobs.table import JOBS
from polyray.runs.folder import RunFolder
from polyray.runs.job import Job, Result
from polyray.runs.result import read_result
from polyray.runs.run import Run
from polyray.tracking.following import Tracking, tracked
from polyray.tracking.options import TrackingOptions
from polyray.tracking.table import TRACKERS


class Config(Section):
    steps: int = 2
    """Steps."""
    tracking: TrackingOptions = TrackingOptions()
    """Tracker."""


pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def diary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRACKERS, "diary", DiaryTracker)


def work(config: Config, run: Run) -> Result:
    """Report the steps that are missing; a first start is interrupted after one of them."""
    first = 1 if run.restored() is None else 2
    for step in range(first, config.steps + 1):
        run.report(step, {"loss": 1.0})
        run.checkpoint(step, lambda folder: (folder / "a").touch())
        if first == 1:
            raise Interrupted("Stopped, as asked.", signal.SIGTERM)
    return Result(metrics={"mean": 0.5})


def launch(out: Path, config: Config) -> str:
    """Console of a run."""
    console = Console(file=io.StringIO(), width=500)
    job = Job(about="A test's job.", Config=Config, run=work)
    try:
        run_job("fake", job, config, out, None, console)
    except Interrupted as error:
        console.print(error)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_run_is_told_across_its_starts_and_may_change_its_tracker(tmp_path: Path) -> None:
    out, watched = tmp_path / "run", Config(tracking=TrackingOptions(kind="diary", tags={"owner": "me"}))
    assert "tracker" not in launch(out, watched)
    (start, *_) = calls(out / "tracking")
    assert start["name"] == "run" and start["fields"] == {"steps": 2}
    assert start["tags"].items() >= {"job": "fake", "folder": str(out), "owner": "me"}.items()
    said = launch(out, Config(tracking=TrackingOptions(kind="diary", name="other")))
    assert "exact to the byte" not in said
    assert calls_in_short(out / "tracking") == ["started", 1, "interrupted", "resumed", 2, "done"]
    assert "name: other" in (out / "config.yaml").read_text()
    folder = RunFolder(path=out, job="fake", config=Config(), address=None)
    assert folder.is_done and folder.damage() is None  # the tracker's files are not summed


def test_a_killed_run_was_interrupted_and_a_tracker_that_fails_or_hangs_holds_nobody_up(tmp_path: Path) -> None:
    config, said = Config(tracking=TrackingOptions(kind="diary")), list[str]()

    def die() -> None:
        with tracked(tmp_path, "fake", config, said.append):
            Run(tmp_path).report(1, {"loss": 1.0})
            os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(in_child(die), 0)
    deadline = time.monotonic() + 30
    while calls_in_short(tmp_path / "tracking") != ["started", 1, "interrupted"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert calls_in_short(tmp_path / "tracking") == ["started", 1, "interrupted"]
    (tmp_path / "tracking" / AWAY).touch()
    with tracked(tmp_path, "fake", config, said.append):
        Run(tmp_path).report(2, {"loss": 1.0})
    (line,) = said
    assert "The tracker diary does not take everything: ConnectionError: nobody answers." in line
    (tmp_path / "tracking" / AWAY).rename(tmp_path / "tracking" / HANGS)
    tracking = Tracking(config.tracking, tmp_path / "tracking", said.append)
    tracking.follow(tmp_path, "fake", config)
    started = time.monotonic()
    tracking.close(patience=0.5)
    assert time.monotonic() - started < 3 and "it takes too long" in said[1] and len(said) == 2
    tracking.end(tmp_path)  # has no effect any more


def test_a_finished_run_is_told_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JOBS, "fake", Job(about="A test's job.", Config=Config, run=work))
    out, away = tmp_path / "run", tmp_path / "run" / "tracking" / AWAY
    for _ in range(2):
        launch(out, Config())
    before = (out / "config.yaml").read_bytes()
    away.parent.mkdir()
    away.touch()
    assert code("track", str(out)) == code("track", str(out), "steps=2") == 2
    assert code("track", str(out), "tracking.kind=diary") == 1
    away.unlink()
    assert code("track", str(out), "tracking.kind=diary") == code("track", str(out), "tracking.kind=diary") == 0
    assert calls_in_short(out / "tracking") == ["started", 1, 2, "done"]
    assert (out / "config.yaml").read_bytes() == before


def code(*arguments: str) -> int:
    """The exit code of `polyray ARGUMENTS`."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


def test_a_tracker_that_is_not_installed_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiaryTracker, "package", "no_such_package")
    monkeypatch.setattr(DiaryTracker, "install", "'polyray[tracking]'")
    with pytest.raises(InputError, match=r"no_such_package, .* pip install 'polyray\[tracking\]'"):
        launch(tmp_path / "run", Config(tracking=TrackingOptions(kind="diary")))
    assert not (tmp_path / "run").exists()


def test_a_process_that_dies_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = list[str]()
    monkeypatch.setattr(DiaryTracker, "__module__", "no_such_module")
    config = Config(tracking=TrackingOptions(kind="diary"))
    with tracked(tmp_path, "fake", config, said.append):
        Run(tmp_path).report(1, {"loss": 1.0})
    (line,) = said
    assert "No module named 'no_such_module'" in line and read_result(tmp_path) is None
