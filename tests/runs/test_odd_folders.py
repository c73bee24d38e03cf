"""Run folders in which something odd stands, or in which nothing can be written: one message, and nothing waits."""

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from crash_cases import everything
from crash_scenarios import a_plain_report, small
from gathering import for_cases
from launch_cases import launch, stored

from polyray.errors import InputError, PolyrayError, RunError
from polyray.files.disk import Disk, Point, using
from polyray.runs import locking
from polyray.runs.allocation import NAMES, TABLES, load_allocation, save_allocation
from polyray.runs.checkpoint import clear_checkpoints, latest_checkpoint, write_checkpoint
from polyray.runs.sealed import read_sealed, write_sealed

RESULT = '{"job": "fake", "status": "done", "metrics": %s, "skills": [], "seconds": 1, "versions": {}}'


def sparse(file: Path) -> None:
    file.touch()
    os.truncate(file, 2**31)


STANDS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a device": lambda file: file.symlink_to("/dev/zero"),
    "links": lambda file: file.symlink_to(file),
    "No such file": lambda file: file.symlink_to("/nowhere"),
    "larger than": sparse,
}
"""Functions that put something else at a file's path, by a word of the message on it."""


def message(error: type[PolyrayError], action: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        action()
    return str(caught.value)


@for_cases([
    {"content": "[]", "problem": "expected a JSON object, found list"},
    {"content": "null", "problem": "expected a JSON object"},
    {"content": "", "problem": "is empty"},
    {"content": "[" * 100_000, "problem": "nested too deeply"},
    {"content": '{"job": "fake",\n"job": "fake"}', "problem": ":2: the key 'job' stands twice"},
    {"content": RESULT % '{"mean": NaN}', "problem": "the number NaN is not finite"},
    {"content": RESULT % '{"mean": 1e999}', "problem": "the number 1e999 is not finite"},
    {"content": RESULT % "[]", "problem": "metrics: expected a section with fields of its own, found []"},
    {"content": RESULT.replace('"done"', '"ready"') % "{}", "problem": "status"},
])  # fmt: skip
def test_a_result_that_is_none_is_refused_with_its_file_and_the_remedy(
    content: str, problem: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    if not out.exists():
        launch(out)
    (out / "result.json").write_text(content)
    refused = message(InputError, lambda: launch(out))
    assert str(out / "result.json") in refused and problem in refused and "Delete it to go on" in refused
    assert len(refused.splitlines()) == 1 and len(refused) < 400


def test_sums_that_are_none_let_a_finished_run_be_looked_at_again(tmp_path: Path) -> None:
    for content in ("[]", "5", '{"a": 1, "a": 1}', "[" * 100_000, "\udcff"):
        launch(tmp_path)
        (tmp_path / "sums.json").write_text(content, errors="surrogateescape")
        assert "sums.json is missing or unreadable; it goes on" in " ".join(launch(tmp_path)[1].split())
        assert "done already" in launch(tmp_path)[1]


def test_a_finished_run_that_lost_its_skills_makes_them_again_and_another_jobs_result_is_refused(
    tmp_path: Path,
) -> None:
    small(tmp_path)
    whole = everything(tmp_path)
    shutil.rmtree(tmp_path / "skills")
    (tmp_path / "report.html").unlink()
    small(tmp_path)
    assert everything(tmp_path) == whole and "skills/a/card.json" in whole and (tmp_path / "report.html").exists()
    (tmp_path / "result.json").write_text((RESULT % "{}").replace("fake", "other"))
    assert "is of the job 'other', not 'count'. Delete it" in message(InputError, lambda: small(tmp_path))


def test_what_is_no_regular_file_is_named_and_nothing_waits_for_it(tmp_path: Path) -> None:
    launch(tmp_path)
    for name in ("result.json", "config.yaml"):
        content = (tmp_path / name).read_bytes()
        for problem, stand in STANDS.items():
            (tmp_path / name).unlink()
            stand(tmp_path / name)
            expected = "no config.yaml" if name == "config.yaml" and problem in ("links", "No such file") else problem
            assert expected in message(InputError, lambda: launch(tmp_path))
            os.rmdir(tmp_path / name) if problem == "a folder" else (tmp_path / name).unlink()
            (tmp_path / name).write_bytes(content)
    (tmp_path / "result.json").unlink()
    for name in (".lock", "stop", "starts.jsonl"):
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).mkdir()
        assert name in message(PolyrayError, lambda: launch(tmp_path)) or name == ".lock"
        (tmp_path / name).rmdir()
    os.mkfifo(tmp_path / "log.txt")  # which nobody reads: a failure is told all the same
    assert "Nor could the log be written" in message(RunError, lambda: launch(tmp_path, lambda config, run: 1 / 0))  # type: ignore[arg-type, return-value]


def test_pipes_and_broken_links_beside_a_run_s_files_are_left_alone(tmp_path: Path) -> None:
    odd = {name: stand for name, stand in STANDS.items() if name not in ("a folder", "larger than")}
    (tmp_path / "config.yaml").write_text("# job: fake\n")
    for name, stand in odd.items():
        stand(tmp_path / name)
    launch(tmp_path)
    assert "done already" in launch(tmp_path)[1] and odd.keys() < set(os.listdir(tmp_path))


@for_cases([
    {"path": "x" * 300, "problem": "File name too long"}, {"path": "a/" * 3000, "problem": "File name too long"},
    {"path": "a\0b", "problem": "null"}, {"path": "a\udce9", "problem": "it is not UTF-8"},
])  # fmt: skip
def test_a_path_that_no_file_can_have_is_refused(path: str, problem: str, tmp_path: Path) -> None:
    refused = message(InputError, lambda: launch(tmp_path / path))
    assert problem in refused and "Choose another --out." in refused and len(refused) < 300


class Refusing(Disk):
    """A disk that refuses with an error of this number from the first passing of `point` on."""

    def __init__(self, number: int, point: Point) -> None:
        self.number, self.point, self.refuses = number, point, False

    def act(self, point: Point, path: Path, action: Callable[[], object]) -> None:
        self.refuses = self.refuses or point is self.point
        if self.refuses:
            raise OSError(self.number, os.strerror(self.number))
        action()


def test_a_full_disk_gives_one_message_whatever_was_being_written(tmp_path: Path) -> None:
    for number, point in enumerate((Point.FOLDER_MADE, Point.FILE_WRITTEN, Point.LINE_APPENDED, Point.CONTENT_WRITTEN)):
        with using(Refusing(errno.ENOSPC, point)):
            refused = message(PolyrayError, lambda: small(tmp_path / f"{number}"))  # noqa: B023  # called at once
        assert refused.count("No space left on device. Free some space.") <= 2 and "Errno" not in refused
        assert f"Cannot {point} (" in refused and "No space left on device. Free some space." in refused, refused
    small(tmp_path / f"{number}")
    assert stored(tmp_path / f"{number}")["status"] == "done"


def test_a_folder_that_turned_read_only_gives_one_message_and_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: str, flags: int) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    launch(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    monkeypatch.setattr(locking, "without_waiting", refuse)
    refused = message(InputError, lambda: launch(tmp_path))
    assert f"Cannot write in the run folder {tmp_path}: Read-only file system." in refused and "--out" in refused
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_every_file_and_folder_of_a_run_follows_the_umask(tmp_path: Path) -> None:
    for mask in (0o002, 0o027):
        before = os.umask(mask)
        try:
            with a_plain_report():
                small(tmp_path / f"{mask}")
        finally:
            os.umask(before)
        modes = {
            str(path): (stat.S_IMODE(path.stat().st_mode), (0o777 if path.is_dir() else 0o666) & ~mask)
            for path in (tmp_path / f"{mask}").rglob("*")
        }
        assert {name: pair for name, pair in modes.items() if pair[0] != pair[1]} == {}
        assert sum(name.endswith(".safetensors") for name in modes) > 3 and any("checkpoints" in name for name in modes)


def test_names_that_are_no_checkpoint_are_left_alone(tmp_path: Path) -> None:
    for step in (1, 2):
        write_checkpoint(tmp_path, step, lambda folder: (folder / "state").write_text("x"))
    odd = ("step-foo", "step-", "step-1x", "step--3", "step-٣", "Step-00000009", "notes")
    for name in odd:
        (tmp_path / name).mkdir()
    (tmp_path / "step-00000007").write_text("a file")
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000002"
    clear_checkpoints(tmp_path, tmp_path / "step-00000002")
    assert {path.name for path in tmp_path.iterdir()} == {*odd, "step-00000001", "step-00000002", "step-00000007"}


def test_a_checkpoint_that_was_being_removed_when_its_process_died_is_gone_at_the_next_start(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, step, lambda folder: (folder / "state").write_text("x"), keep=3)
    (tmp_path / "step-00000001" / "state").unlink()  # as versions did that removed the files under its name
    (tmp_path / "step-00000002").rename(tmp_path / ".removing-step-00000002-0123abcd")
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    clear_checkpoints(tmp_path, newest)
    assert os.listdir(tmp_path) == ["step-00000003"]


def test_an_allocation_that_is_damaged_is_refused_with_its_file(tmp_path: Path) -> None:
    save_allocation(tmp_path, torch.ones(1, 2, 3), ["all"], ["a", "b"])
    whole = {name: (tmp_path / name).read_bytes() for name in (TABLES, NAMES)}
    assert load_allocation(tmp_path) is not None
    for name, content, problem in (
        (NAMES, b"[]", "expected a JSON object"), (NAMES, b'{"tasks": ["a"], "tables": ["all"]}', "belong together"),
        (NAMES, b"{}", "belong together"), (TABLES, whole[TABLES][:-8], "Cannot read"), (TABLES, b"", "Cannot read"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        refused = message(InputError, lambda: load_allocation(tmp_path))
        assert problem in refused and name in refused
        (tmp_path / name).write_bytes(whole[name])


def test_sealed_files_are_read_as_strictly_as_any_other_json(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_sealed(file, {"score": 0.5})
    for content, problem in (
        ("[]", "expected a JSON object"), ('{"a": NaN, "sha256": ""}', "the number NaN"), ("", "is empty"),
        ("[" * 100_000, "nested too deeply"), (" " * (9 * 2**20), "larger than 8 MiB"),
        (file.read_text().replace('"score"', '"sc\\u006fre": 0.25,\n"score"'), ":3: the key 'score' stands twice"),
        (file.read_text().replace("0.5", "0.25"), "was altered"),
    ):  # fmt: skip
        file.write_text(content)
        assert re.search(re.escape(problem), message(InputError, lambda: read_sealed(file)))
        write_sealed(file, {"score": 0.5})
