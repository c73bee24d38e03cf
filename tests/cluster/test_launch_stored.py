"""A run behind a URL ends as one in a folder, whichever process goes on with it; what cannot work is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from crash_scenarios import a_plain_report
from fsspec.implementations.memory import MemoryFileSystem
from job_cases import outcome
from rich.console import Console
from small_job import CountingConfig, count

from polyray.cli.placing import placed
from polyray.cluster.launch import run_job
from polyray.errors import InputError, Interrupted
from polyray.runs.job import Job, Result
from polyray.runs.locking import FolderInUseError
from polyray.runs.run import Run
from polyray.runs.store.fetching import fetch
from polyray.runs.store.lease import Timing
from polyray.runs.store.manifest import Manifest, StoredFile
from polyray.runs.store.remote import open_remote
from polyray.runs.store.working import working_copy

QUIET = Console(quiet=True)


@pytest.fixture
def url() -> Iterator[str]:
    """A new folder in this process's memory; reports have no pictures, which take most of the time."""
    with a_plain_report():
        yield f"memory://{uuid4().hex}/run"
    MemoryFileSystem.store.clear()


def start(url: str, steps: int = 3, until: int = 99) -> list[str]:
    """One start of the small job behind `url`, which stops after so many steps: the lines about its storage."""
    lines: list[str] = []

    def body(config: CountingConfig, run: Run) -> Result:
        def stop(line: object) -> None:
            if json.loads(json.dumps(line))["step"] > until:
                raise Interrupted("as asked.")

        limited = Run(run.out, hooks=[stop], console=QUIET, store=run.store)
        return count(config, limited)

    with working_copy(url, lines.append) as copy:
        job = Job(about="", Config=CountingConfig, run=body)
        run_job("count", job, CountingConfig(steps=steps), copy.folder, None, QUIET, f"again {url}", copy)
    return lines


def test_a_run_goes_on_in_another_working_copy_and_ends_as_one_in_a_folder(url: str, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    run_job("count", Job(about="", Config=CountingConfig, run=count), CountingConfig(), plain, None, QUIET)
    for until in (1, 2):
        with pytest.raises(Interrupted, match=f"again {url}"):
            start(url, until=until)
    (line,) = start(url)
    assert line.startswith("Restored ") and url in line
    fetch(url, tmp_path / "fetched", lambda line: None)
    assert outcome(tmp_path / "fetched") == outcome(plain)
    assert (tmp_path / "fetched" / "report.html").exists()
    assert not [name for name in open_remote(url).names() if name.startswith(("writer-", "message-"))]


def test_a_second_writer_and_another_config_are_refused(url: str) -> None:
    start(url)
    with pytest.raises(InputError, match=f"{url} holds a run with another config"):
        start(url, steps=4)
    impatient = working_copy(url, print, timing=Timing(beat=0.01, patience=0.1))
    with working_copy(url, print, timing=Timing(beat=0.01)), pytest.raises(FolderInUseError, match=r"Another process"):
        impatient.__enter__()


def refusal(out: str) -> str:
    """The message with which `--out` is refused."""
    with pytest.raises(InputError) as refused, placed(out, "job", QUIET):
        raise AssertionError(out)
    return str(refused.value)


def test_storage_that_cannot_be_used_is_refused_with_a_remedy(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError("Forbidden")

    messages = [refusal("s3://bucket/run"), refusal("nowhere://a/b"), refusal("memory://")]
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", forbidden)
    messages.append(refusal(url))
    remedies = ("pip install s3fs", "Protocol not known: nowhere", "BUCKET/FOLDER", "change the permissions")
    pairs = zip(messages, remedies, strict=True)
    assert [message for message, remedy in pairs if remedy not in message or "\n" in message] == []


def test_a_folder_that_is_there_and_a_url_without_a_run_are_not_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no run at"):
        fetch(url, tmp_path / "new", print)
    start(url)
    (tmp_path / "old").write_text("")
    with pytest.raises(InputError, match="is there already"):
        fetch(url, tmp_path, print)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


def test_a_manifest_that_leads_out_of_the_folder_is_refused(url: str, tmp_path: Path) -> None:
    stolen = {"../stolen": StoredFile("000001-000001-00000000-000001", 1, "0" * 64)}
    manifest = Manifest(epoch=1, number=1, files=stolen)
    open_remote(url).write(manifest.name, manifest.encoded())
    with pytest.raises(InputError, match="stolen"):
        fetch(url, tmp_path / "new", print)
