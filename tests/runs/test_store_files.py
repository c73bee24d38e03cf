"""Files between a working copy and a storage: which are published, what refusals say, what failures leave behind."""

from pathlib import Path

import fsspec
import pytest
from store_cases import Objects, at

from polyray.errors import InputError, StorageError
from polyray.runs.folder import CONFIG, read_config
from polyray.runs.metrics import parsed
from polyray.runs.store.manifest import OBJECTS, StoredFile
from polyray.runs.store.remote import Remote
from polyray.runs.store.transfers import download
from polyray.runs.store.tree import Tree


def test_files_of_this_machine_remains_and_logs_of_ray_are_not_published(tmp_path: Path) -> None:
    published = ("config.yaml", "skills/a/card.json", "logs/train/worker.txt")
    others = (".lock", ".tune/x", "stop", ".writing-skills-0123abcd/card.json", "logs/ray/a", "logs/train/ray/b")
    for name in (*published, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert Tree(folder=tmp_path).paths() == sorted(published)
    assert Tree(folder=tmp_path, covers=lambda path: not path.startswith("skills/")).paths() == sorted(
        {"config.yaml", "logs/train/worker.txt"}
    )


def test_folders_are_made_below_what_the_url_begins_with_alone(tmp_path: Path) -> None:
    files = fsspec.filesystem("file")
    remote = Remote(filesystem=files, path=str(tmp_path / "runs" / "one"), url="file:///runs/one", delays=())
    remote.write("objects/x", b"content")
    assert remote.read("objects/x") == b"content"
    there = {"": False}

    class NoBucket(Objects):
        def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: object) -> None:
            raise FileNotFoundError(path)

        def exists(self, path: str, **options: object) -> bool:
            return there.get(path, False)

    with pytest.raises(InputError, match=r"There is no 'bucket' for s3://bucket/one\. Make it"):
        Remote(filesystem=NoBucket(), path="bucket/one", url="s3://bucket/one", delays=()).write("x", b"")


def test_a_refused_removal_says_what_was_to_be_removed_and_a_file_that_is_gone_is_removed() -> None:
    class Guarded(Objects):
        def rm_file(self, path: str) -> None:
            if path.endswith("gone"):
                raise FileNotFoundError(path)
            raise PermissionError("no")

    remote = Remote(filesystem=Guarded(), path="bucket/one", url="s3://bucket/one", delays=())
    remote.remove("gone")
    with pytest.raises(StorageError, match="Cannot remove s3://bucket/one/kept: no. These credentials"):
        remote.remove("kept")


def test_an_object_that_was_altered_leaves_nothing_behind(tmp_path: Path) -> None:
    remote = at(Objects())
    remote.write(f"{OBJECTS}/a", b"something else")
    with pytest.raises(StorageError, match=r"/a is not what was published as sub/file\.txt"):
        download(remote, Tree(folder=tmp_path), {"sub/file.txt": StoredFile("a", 4, "0" * 64)})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_line_that_holds_no_object_is_none() -> None:
    assert parsed(b"{") is None and parsed(b"[1]\n") is None and parsed(b'{"step": 1}') == {"step": 1}


def test_a_config_that_is_a_list_is_no_run(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text("- a\n- b\n")
    with pytest.raises(InputError, match="must hold `field: value` pairs"):
        read_config(tmp_path)
