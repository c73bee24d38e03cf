"""`polyray watch` and `polyray report` show sweeps and runs from their files, whether a process is at work or not."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from sweep_cases import sweep_folder

from polyray.cli.app import main
from polyray.reports.sweep import report, tables
from polyray.reports.watching import watch_run
from polyray.runs.result import write_result
from polyray.runs.run import Run
from polyray.sweeps.trials import record_of


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_sweep_is_shown_and_its_page_written_when_its_processes_are_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "SECTIONS", {"result": tables.result, "trials": tables.trials})  # pictures take seconds
    sweep = sweep_folder(tmp_path / "sweep", [0.25, 0.75], planned=3)
    assert command("watch", str(sweep.path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("trial 0 done: mean 0.25; best 0.75 (trial 1)") and "2 of 3 trials ended" in lines[0]
    assert any("polytropon dual_speed: 2 of 3 trials ended" in line for line in lines)
    assert command("report", str(sweep.path)) == 0
    assert capsys.readouterr().out == f"{sweep.path}/report.html\n"
    content = json.loads((sweep.path / "sweep.json").read_bytes())
    assert content["state"] == "interrupted" and [trial["state"] for trial in content["trials"]] == ["done", "done"]
    page = (sweep.path / "report.html").read_text()
    assert "Nobody is at work on the sweep" in page and "trials/0000" in json.dumps(content)


def test_a_run_is_shown_step_by_step_until_it_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("# job: polytropon\n")
    Run(tmp_path).report(7, {"loss": 0.5}, tokens_per_second=1234.5)
    assert command("watch", str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "polytropon: step 7, loss 0.5, tokens_per_second 1234.5",
        "polytropon: step 7, loss 0.5, tokens_per_second 1234.5. No process is at work on it, and it has not ended.",
    ]
    write_result(tmp_path, "polytropon", "done", 1.0, {})
    assert command("watch", str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("1234.5. It is done.")


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("watch", "report"):
        assert command(name, str(tmp_path)) == 2
        assert f"{tmp_path} holds no run" in capsys.readouterr().err


def test_a_run_is_watched_while_a_process_holds_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text("# job: polytropon\n")
    looks = iter([True, True, False])
    pauses: list[float] = []
    monkeypatch.setattr("polyray.reports.watching.is_locked", lambda file: next(looks))
    monkeypatch.setattr("polyray.reports.watching.time.sleep", pauses.append)
    watch_run(tmp_path, Console(quiet=True), seconds=0.5)
    assert pauses == [0.5, 0.5, 0]


def test_a_sweep_that_is_at_work_is_running(tmp_path: Path) -> None:
    sweep = sweep_folder(tmp_path / "sweep", [], planned=3)
    with sweep.locked():
        assert record_of(sweep).running and record_of(sweep).state == "running"
    assert not record_of(sweep).running
