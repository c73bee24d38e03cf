"""Raw text: files and folders of it are tasks, with splits of their own or contiguous ones."""

import json
from pathlib import Path

import pytest

from polyray.errors import InputError
from polyray.tasks import RawText, Suite, TasksOptions, load_suite


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "hau.txt": "".join(f"hau {n}\n\n" for n in range(30)), "notes.md": "not a text",
        "wol/train.txt": "a\nb\n", "wol/dev.txt": "c\n", "wol/test.txt": "d\n",
        "books/2.txt": "".join(f"two {n}\n" for n in range(5)), "books/1.txt": "".join(f"one {n}\n" for n in range(5)),
        "empty/readme.md": "no text here",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def load(path: Path, **fields: object) -> Suite:
    return load_suite(TasksOptions.model_validate({"kind": "text", "path": str(path), **fields}))


def lines(suite: Suite, task: str, split: str) -> list[str]:
    return [example.text for example in suite.tasks[task].examples(split)]


def test_files_and_folders_of_text_are_tasks_of_masked_language_modelling(folder: Path) -> None:
    suite = load(folder)
    assert list(suite.tasks) == ["books", "hau", "wol"]
    assert {(task.objective, task.metric, task.labels) for task in suite.tasks.values()} == {
        ("masked_lm", "Masked-ACC", None)
    }
    assert list(load(folder / "hau.txt").tasks) == ["hau"]


def test_of_a_text_without_splits_the_last_tenth_is_test_and_the_tenth_before_it_dev(folder: Path) -> None:
    suite = load(folder)
    assert lines(suite, "hau", "test") == ["hau 27", "hau 28", "hau 29"]
    assert lines(suite, "hau", "dev") == ["hau 24", "hau 25", "hau 26"]
    assert lines(suite, "hau", "train") == [f"hau {n}" for n in range(24)]
    assert lines(suite, "books", "test") == ["two 4"] and lines(suite, "books", "dev") == ["two 3"]
    assert lines(suite, "books", "train")[:6] == [*(f"one {n}" for n in range(5)), "two 0"]


def test_files_of_splits_are_taken_as_they_are(folder: Path) -> None:
    suite = load(folder)
    assert [lines(suite, "wol", split) for split in ("train", "dev", "test")] == [["a", "b"], ["c"], ["d"]]
    (folder / "wol" / "dev.txt").unlink()
    with pytest.raises(InputError, match=r"The task 'wol' has no split 'dev'; expected .*wol/dev\.txt"):
        load(folder).tasks["wol"].examples("dev")


def test_an_example_is_a_line_with_its_task(folder: Path) -> None:
    example = load(folder).tasks["wol"].examples("test")[0]
    assert example == RawText(task="wol", text="d") and (example.line, example.record()) == ("d", {"text": "d"})


def test_a_partition_beside_the_texts_divides_them_but_not_a_text_named_alone(folder: Path) -> None:
    (folder / "partition.json").write_text(json.dumps({"train": ["hau"], "test": ["wol"]}))
    assert load(folder).partition == {"train": ("hau",), "dev": (), "test": ("wol",)}
    assert load(folder / "wol" / "train.txt").partition["train"] == ("train",)


def test_what_cannot_be_read_is_refused(folder: Path) -> None:
    (folder / "short.txt").write_text("one\ntwo\n")
    with pytest.raises(InputError, match=r"The text 'short' has 2 lines; one without splits needs at least 10"):
        load(folder).tasks["short"].examples("train")
    (folder / "bad.txt").write_bytes(b"fine\n\xff\n")
    with pytest.raises(InputError, match=r"bad\.txt:2: the byte 0xff is not UTF-8"):
        load(folder).tasks["bad"].examples("train")
    with pytest.raises(InputError, match=r"holds no text; expected files such as NAME\.txt"):
        load(folder / "empty")
    with pytest.raises(InputError, match=r"set tasks\.path"):
        load_suite(TasksOptions(kind="text"))
    (folder / "wol.txt").write_text("again\n")
    with pytest.raises(InputError, match="The task 'wol' is there twice"):
        load(folder)
