"""A job is run in a folder: its content, when the run is resumed, and when it is refused."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from launch_cases import Config, launch, stored

from polyray.cluster import session
from polyray.config import load_config
from polyray.errors import InputError, Interrupted, RunError
from polyray.runs.folder import RunFolder, new_run_folder
from polyray.runs.job import Result
from polyray.runs.run import Run


def never(config: Config, run: Run) -> Result:
    raise AssertionError("this job must not run")


def test_a_finished_run_holds_its_config_and_result(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    result, printed = launch(out, config=Config(steps=5))
    assert load_config(Config, out / "config.yaml") == Config(steps=5)
    content = stored(out)
    assert content["seconds"] >= 0
    assert content.pop("versions").keys() == {"polyray", "python", "torch", "ray", "transformers"}
    expected = {"job": "fake", "status": "done", "metrics": {"mean": 5}, "skills": ["skills/one"]}
    assert content == {**expected, "seconds": content["seconds"]}
    assert result == Result(metrics={"mean": 5}, skills=("skills/one",))
    assert str(out / "result.json") in printed


def test_a_job_finds_its_folder_made_and_its_config_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(config: Config, run: Run) -> Result:
        assert run.out.is_absolute()
        assert (run.out / "config.yaml").exists()
        return Result(metrics={})

    monkeypatch.chdir(tmp_path)
    launch(Path("here"), look)
    assert stored(tmp_path / "here")["status"] == "done"


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first, _ = launch(tmp_path)
    again, printed = launch(tmp_path, never)
    assert again == first
    assert "done already" in printed


def test_another_config_is_refused_with_the_fields_that_differ(tmp_path: Path) -> None:
    launch(tmp_path)
    with pytest.raises(InputError, match="another config") as caught:
        launch(tmp_path, never, Config(steps=4))
    message = str(caught.value)
    assert "steps = 3 there, 4 here" in message
    assert "name" not in message
    assert f"polyray run fake --config {tmp_path}/config.yaml --out {tmp_path}" in message


def test_another_job_is_refused(tmp_path: Path) -> None:
    launch(tmp_path)
    with pytest.raises(InputError, match="run of the job 'fake', not 'other'"):
        launch(tmp_path, never, name="other")


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("words")
    with pytest.raises(InputError, match="holds files but no run"):
        launch(tmp_path, never)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="Choose another --out"):
            launch(out, never)


def test_a_failed_run_names_its_log_and_can_be_run_again(tmp_path: Path) -> None:
    def fail(config: Config, run: Run) -> Result:
        raise ZeroDivisionError("no way")

    with pytest.raises(RunError, match="ZeroDivisionError: no way") as caught:
        launch(tmp_path, fail)
    assert str(tmp_path / "log.txt") in str(caught.value)
    assert f"goes on from the newest checkpoint: polyray run fake --config {tmp_path}" in str(caught.value)
    log = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert "Traceback" in log
    assert "in fail" in log
    assert stored(tmp_path)["status"] == "failed"
    launch(tmp_path)
    assert stored(tmp_path)["status"] == "done"


def test_a_result_that_no_file_can_hold_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="full traceback"):
        launch(tmp_path, lambda config, run: Result(metrics={"mean": object()}))
    assert stored(tmp_path)["status"] == "failed"


def test_an_interrupted_run_says_how_to_resume_it(tmp_path: Path) -> None:
    def interrupt(config: Config, run: Run) -> Result:
        (run.out / "checkpoint").touch()
        raise KeyboardInterrupt

    out = tmp_path / "my run"
    with pytest.raises(Interrupted) as caught:
        launch(out, interrupt)
    assert str(caught.value).endswith(f"polyray run fake --config '{out}/config.yaml' --out '{out}'")
    assert stored(out)["status"] == "interrupted"

    def go_on(config: Config, run: Run) -> Result:
        return Result(metrics={"resumed": (run.out / "checkpoint").exists()})

    assert launch(out, go_on)[0].metrics == {"resumed": True}


def test_seconds_add_up_over_all_starts(tmp_path: Path) -> None:
    folder = RunFolder(path=tmp_path, job="fake", config=Config(), address=None)
    folder.write_result("interrupted", 1.5)
    folder.write_result("done", 2.25)
    assert stored(tmp_path)["seconds"] == 3.75


def test_input_that_the_job_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    def refuse(config: Config, run: Run) -> Result:
        raise InputError("There is no such data.")

    with pytest.raises(InputError, match="no such data"):
        launch(tmp_path / "runs" / "one", refuse)
    assert list(tmp_path.iterdir()) == []


def test_input_that_the_job_refuses_leaves_an_older_run_alone(tmp_path: Path) -> None:
    def fail(config: Config, run: Run) -> Result:
        raise RunError("no luck")

    def refuse(config: Config, run: Run) -> Result:
        raise InputError("The data is gone.")

    with pytest.raises(RunError):
        launch(tmp_path, fail)
    before = sorted(file.name for file in tmp_path.iterdir())
    with pytest.raises(InputError):
        launch(tmp_path, refuse)
    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_not_a_number_is_null_and_numpy_numbers_are_numbers(tmp_path: Path) -> None:
    launch(tmp_path, lambda config, run: Result(metrics={"a": math.nan, "b": np.float32(0.5), "c": np.int64(2)}))
    assert stored(tmp_path)["metrics"] == {"a": None, "b": 0.5, "c": 2.0}


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    def inside(config: Config, run: Run) -> Result:
        with pytest.raises(InputError, match="Another process is running"):
            launch(tmp_path, never)
        return Result(metrics={})

    launch(tmp_path, inside)


def test_a_killed_process_blocks_nobody(tmp_path: Path) -> None:
    code = (
        "import fcntl, sys, time\n"
        f"file = open({str(tmp_path / '.lock')!r}, 'a')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(InputError, match="Another process is running"):
            launch(tmp_path, never)
        os.kill(process.pid, signal.SIGKILL)
    launch(tmp_path)
    assert stored(tmp_path)["status"] == "done"


def test_new_folders_have_new_names(tmp_path: Path) -> None:
    first = new_run_folder("fake", tmp_path)
    first.mkdir()
    second = new_run_folder("fake", tmp_path)
    assert first.name.startswith("fake-")
    assert second != first
    assert not second.exists()


def test_a_job_that_needs_no_ray_starts_none_and_one_that_does_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def start(logs: Path, variables: Mapping[str, str], *, dashboard: bool) -> tuple[ExitStack, str]:
        assert not dashboard
        calls.append(f"start {logs}")
        cluster = ExitStack()
        cluster.callback(calls.append, "end")
        return cluster, ""

    monkeypatch.setattr(session, "start_cluster", start)
    monkeypatch.setattr(session, "check_folder", lambda folder: calls.append(f"look at {folder}"))
    launch(tmp_path / "without")
    assert calls == []

    def twice(config: Config, run: Run) -> Result:
        run.cluster.start()
        run.phase("dense").cluster.start()
        calls.append("work")
        return Result(metrics={})

    launch(tmp_path / "with", twice)
    assert calls == [f"start {tmp_path}/with/logs/ray", f"look at {tmp_path}/with", "work", "end"]


def test_a_file_that_stopped_an_earlier_start_is_gone_at_the_next(tmp_path: Path) -> None:
    def stop(config: Config, run: Run) -> Result:
        run.stop_file.touch()
        raise Interrupted("as asked")

    with pytest.raises(Interrupted, match="Resume with: polyray run fake"):
        launch(tmp_path, stop)
    assert (tmp_path / "stop").exists() and stored(tmp_path)["status"] == "interrupted"

    def look(config: Config, run: Run) -> Result:
        return Result(metrics={"stop": run.stop_requested})

    assert launch(tmp_path, look)[0].metrics == {"stop": False}
