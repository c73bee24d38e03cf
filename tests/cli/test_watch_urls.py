"""`polyray watch` and `polyray report` show runs and sweeps behind a URL, from their light files alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from crash_scenarios import a_plain_report
from fsspec.implementations.memory import MemoryFileSystem
from toy_sweep import drive, toy_sweep

from polyray.cli.app import main
from polyray.cluster.sweeping.storage import RemoteStorage, is_ours
from polyray.errors import InputError
from polyray.reports.sweep import report, tables
from polyray.runs.run import Run
from polyray.runs.store.following import following, is_light
from polyray.runs.store.working import working_copy


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new folder in this process's memory; reports have no pictures, which take most of the time."""
    monkeypatch.setattr(report, "SECTIONS", {"result": tables.result, "trials": tables.trials})
    with a_plain_report():
        yield f"memory://{uuid4().hex}/mine"
    MemoryFileSystem.store.clear()


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_sweep_is_shown_and_its_page_brought_home(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with working_copy(url, print, covers=is_ours, reads=is_light) as store:
        sweep = replace(toy_sweep(store.folder), url=url)
        drive(sweep, 2, storage=RemoteStorage(sweep, store))
    capsys.readouterr()
    assert command("watch", url) == 0
    assert "toy toy: 2 of 3 trials ended" in capsys.readouterr().out
    assert command("report", url, "--to", str(tmp_path / "pages")) == 0
    assert capsys.readouterr().out == f"{tmp_path}/pages/mine-report.html\n"
    assert "Nobody is at work on the sweep" in (tmp_path / "pages" / "mine-report.html").read_text()
    with following(url) as run:
        paths = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    assert {"trials.jsonl", "trials/0000/metrics.jsonl", "trials/0001/result.json"} <= paths
    assert not [path for path in paths if "checkpoints" in path or "skills" in path]


def test_a_run_is_at_work_while_its_writer_shows_signs_of_life(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    with working_copy(url, print) as copy:
        (copy.folder / "config.yaml").write_text("# job: polytropon\n")
        run = Run(copy.folder, store=copy)
        run.report(7, {"loss": 0.5})
        run.publish()
        with following(url, clock=lambda: now[0]) as seen:
            assert (seen.folder / "progress.jsonl").exists() and seen.refresh()
            run.report(8, {"loss": 0.25})
            run.publish()
            assert seen.refresh() and len((seen.folder / "progress.jsonl").read_text().splitlines()) == 2
            now[0] = 31.0
            assert not seen.refresh()
    capsys.readouterr()
    assert command("watch", url) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "polytropon: step 8, loss 0.25. No process is at work on it, and it has not ended."
    )
    monkeypatch.chdir(tmp_path)
    assert command("report", url) == 0 and (tmp_path / "mine-report.html").exists()


def test_a_storage_that_cannot_be_reached_any_more_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise PermissionError("no")

    with working_copy(url, print) as copy:
        (copy.folder / "config.yaml").write_text("# job: polytropon\n")
        copy.publish()
        with following(url) as seen:
            monkeypatch.setattr(MemoryFileSystem, "ls", gone)
            with pytest.raises(InputError, match=rf"^{url}: .*no"):
                seen.refresh()
            monkeypatch.undo()


def test_a_url_without_a_run_and_a_folder_for_a_page_that_has_one_are_refused(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("watch", "report"):
        assert command(name, url) == 2
        assert f"There is no run at {url}: nothing was published there yet." in capsys.readouterr().err
    assert command("report", str(tmp_path), "--to", str(tmp_path)) == 2
    assert "--to goes with a URL" in capsys.readouterr().err
