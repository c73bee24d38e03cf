"""Files between a working copy and a storage: which are published, what refusals say, what failures leave behind."""

import hashlib
from pathlib import Path

import fsspec
import pytest
from store_cases import Objects, at

from polyray.errors import InputError, StorageError
from polyray.runs.folder import CONFIG, read_config
from polyray.runs.metrics import parsed
from polyray.runs.run import Run
from polyray.runs.store.manifest import OBJECTS, StoredFile
from polyray.runs.store.part import everything
from polyray.runs.store.remote import Remote
from polyray.runs.store.transfers import download
from polyray.runs.store.tree import Tree
from polyray.runs.store.working import reading_copy, working_copy


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


def test_files_of_one_object_travel_once_into_folders_that_are_made(tmp_path: Path) -> None:
    remote, content = at(Objects()), b"content"
    digest = hashlib.sha256(content).hexdigest()
    remote.write(f"{OBJECTS}/a", content)
    stored = StoredFile("a", len(content), digest)
    tree, files = Tree(folder=tmp_path), dict.fromkeys(("x.txt", "one/x.txt", "two/deep/x.txt"), stored)
    assert download(remote, tree, files) == len(content)
    assert {path: (tmp_path / path).read_bytes() for path in files} == dict.fromkeys(files, content)
    assert download(remote, tree, files) == 0
    (tmp_path / "one" / "x.txt").unlink()
    assert download(remote, tree, files) == len(content)  # it does not look for a copy that is here already


def test_a_sum_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, tree = tmp_path / "file.txt", Tree(folder=tmp_path)
    file.write_text("before")
    before = hashlib.sha256(b"before").hexdigest()
    assert tree.sum("file.txt") == before
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("the file was read again"))
        assert tree.sum("file.txt") == before
    file.write_text("afterwards")
    assert tree.sum("file.txt") == hashlib.sha256(b"afterwards").hexdigest()


def test_a_checkpoint_of_a_run_behind_a_url_is_there_for_others_at_once(tmp_path: Path) -> None:
    with working_copy("memory://checkpoints/run", print) as copy:
        run = Run(copy.folder, store=copy)
        run.checkpoint(3, lambda folder: (folder / "state.txt").write_text("three"))
        with reading_copy("memory://checkpoints/run", print) as other:
            other.read(everything)
            assert (other.folder / "checkpoints" / "step-00000003" / "state.txt").read_text() == "three"


def test_messages_of_an_earlier_start_are_gone_when_the_next_one_writes() -> None:
    with working_copy("memory://messages/run", print) as copy:
        copy.part.post("stop", "as asked")
        assert copy.part.message("stop") == "as asked"
    with working_copy("memory://messages/run", print) as copy:
        assert copy.part.message("stop") is None


def test_a_line_that_holds_no_object_is_none() -> None:
    assert parsed(b"{") is None and parsed(b"[1]\n") is None and parsed(b'{"step": 1}') == {"step": 1}


def test_a_config_that_is_a_list_is_no_run(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text("- a\n- b\n")
    with pytest.raises(InputError, match="must hold `field: value` pairs"):
        read_config(tmp_path)
