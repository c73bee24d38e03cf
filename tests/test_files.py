"""Files and folders are whole or absent, whenever the process that writes them is killed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from fork_cases import in_child

from polyray.files import write_file, writing


def killed(action: Callable[[], None]) -> None:
    """Run `action`, which kills its process, in a forked one."""
    assert os.waitpid(in_child(action), 0)[1] == signal.SIGKILL


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_a_folder(folder: Path) -> None:
    with writing(folder) as temporary:
        (temporary / "half").write_text("half")
        die()


def between_the_names(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        moved = os.replace
        patch.setattr(os, "replace", lambda old, new: die() if Path(new) == folder else moved(old, new))
        with writing(folder) as temporary:
            (temporary / "half").write_text("half")


@pytest.mark.parametrize("death", [half_a_folder, between_the_names])
def test_what_a_killed_writer_left_is_gone_once_the_folder_is_written(
    death: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = tmp_path / "skill"
    for _ in range(2):  # the folder is new; the folder is there already
        killed(lambda: death(folder))
        assert list(tmp_path.glob(".writing-*"))
        with writing(folder) as temporary:
            (temporary / "whole").write_text("whole")
        assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["skill", "skill/whole"]


def test_what_is_being_written_under_another_name_stays(tmp_path: Path) -> None:
    with writing(tmp_path / "skill-1") as other:
        with writing(tmp_path / "skill"):
            pass
        (other / "whole").write_text("whole")
    assert (tmp_path / "skill-1" / "whole").exists()


def test_a_file_keeps_its_old_content_until_the_new_one_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    write_file(file, "old\n")

    def cut() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", die)
            write_file(file, "new\n")

    killed(cut)
    assert file.read_text() == "old\n" and len(list(tmp_path.iterdir())) == 2
    write_file(file, "new\n")
    assert file.read_text() == "new\n" and len(list(tmp_path.iterdir())) == 1


def test_a_failure_while_writing_leaves_the_old_folder_and_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "skill"
    with writing(folder) as temporary:
        (temporary / "old").write_text("old")
    with pytest.raises(FileNotFoundError), writing(folder) as temporary:
        (temporary / "no such folder" / "new").write_text("new")
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["skill", "skill/old"]


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_file(tmp_path / "folder", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_text_is_written_as_utf_8_and_bytes_as_they_are(tmp_path: Path) -> None:
    write_file(tmp_path / "text", "é")
    assert (tmp_path / "text").read_bytes() == b"\xc3\xa9"
    write_file(tmp_path / "text", b"\xff")
    assert (tmp_path / "text").read_bytes() == b"\xff"
