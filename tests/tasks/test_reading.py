"""Files of tasks as people and programs leave them: read as they are written, or refused with file and line."""

import json
import os
import time
from pathlib import Path

import pytest
from gathering import for_cases

from polyray.config import load_config
from polyray.errors import InputError
from polyray.formats import check_name, file_name
from polyray.tasks import Suite, TasksOptions, load_suite, read_all
from polyray.training.recipe import SuiteConfig

LINE = json.dumps({"input": "x", "output": "y"})


def load(kind: str, folder: Path) -> Suite:
    suite = load_suite(TasksOptions.model_validate({"kind": kind, "path": str(folder)}))
    read_all(suite, splits=("train",))
    return suite


def refusal(kind: str, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(kind, folder)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The task `mood` as JSON lines."""
    (tmp_path / "data" / "mood").mkdir(parents=True)
    (tmp_path / "data" / "mood" / "train.jsonl").write_text(f"{LINE}\n")
    return tmp_path / "data"


def test_blank_lines_at_the_end_hidden_folders_and_windows_line_ends_are_no_errors(folder: Path) -> None:
    (folder / "mood" / "train.jsonl").write_bytes(f"\ufeff{LINE}\r\n{LINE}\r\n\r\n  \n\n".encode())
    for hidden in (".git", ".ipynb_checkpoints"):
        (folder / hidden).mkdir()
        (folder / hidden / "train.jsonl").write_text("no JSON")
    (folder / ".DS_Store.jsonl").write_text("no JSON")
    suite = load("jsonl", folder)
    assert list(suite.tasks) == ["mood"]
    assert len(suite.tasks["mood"].examples("train")) == 2


REFUSED = [
    {"line": '{"input": "x", "input": "z", "output": "y"}', "message": "train.jsonl:1: the key 'input' stands twice"},
    {"line": '{"input": "a\\ud800b", "output": "x"}', "message": "train.jsonl:1: \\ud800 is half a character"},
    {"line": '{"input": "a", "output": ["x", "\\uDC00"]}', "message": "train.jsonl:1: \\udc00 is half a character"},
    {"line": '{"input": "a", "output": "x", "n": NaN}', "message": "train.jsonl:1: not valid JSON: the number NaN"},
    {"line": '{"input": "a", "output": "x", "n": 1e999}', "message": "the number 1e999 is not finite"},
    {"line": '{"input": "a", "output": "x", "n": %s}' % ("9" * 5000), "message": "a number has 5000 digits"},
    {"line": '{"input": %s}' % ("[" * 200 + "]" * 200), "message": "train.jsonl:1: the JSON is nested too deeply"},
    {"line": "[" * 100_000, "message": "train.jsonl:1: the JSON is nested too deeply"},
    {"line": f"{LINE}\r{LINE}", "message": "train.jsonl:1: a carriage return inside the line"},
    {"line": f"{LINE}\0", "message": "train.jsonl:1: a null byte"},
    {"line": "x" * (4 * 2**20 + 1), "message": "train.jsonl:1: the line is longer than 4 MiB"},
    {"line": "{}", "message": "train.jsonl:1: expected the field 'input'"},
]  # fmt: skip


@for_cases(REFUSED)
def test_json_that_programs_read_differently_is_refused_with_file_and_line(
    folder: Path, line: str, message: str
) -> None:
    (folder / "mood" / "train.jsonl").write_text(f"{line}\n{LINE}\n", newline="")
    refused = refusal("jsonl", folder)
    assert message in refused and len(refused) < 500, refused


def test_whole_characters_beyond_the_basic_plane_and_literal_backslashes_are_read(folder: Path) -> None:
    (folder / "mood" / "train.jsonl").write_text('{"input": "\\ud83d\\ude00 \\\\ud800", "output": "x"}\n')
    (example,) = load("jsonl", folder).tasks["mood"].examples("train")
    assert example.input == "[mood] 😀 \\ud800"


def test_a_key_of_a_card_or_partition_that_stands_twice_is_refused_with_both_lines(folder: Path) -> None:
    (folder / "partition.json").write_text('{\n"train": ["mood"],\n"dev": [],\n"train": []\n}')
    assert "partition.json:4: the key 'train' stands twice in one object, here and in line 2" in refusal(
        "jsonl", folder
    )
    (folder / "partition.json").unlink()
    (folder / "mood" / "task.json").write_text('{"metric": "EM",\n\n "metric": "ACC"}')
    assert "task.json:3: the key 'metric' stands twice in one object, here and in line 1" in refusal("jsonl", folder)


def test_slips_in_cards_are_named_with_the_nearest_name(folder: Path) -> None:
    for card, message in (
        ({"metric": "acc"}, "No metric is called 'acc'. Did you mean 'ACC'?"),
        ({"metrc": "ACC"}, "task.json: metrc: no such field. Did you mean 'metric'?"),
        ({"labels": [1, 2]}, "task.json: labels.0: expected a text, found 1"),
        ({"category": ["x"]}, "task.json: category: expected a text"),
    ):
        (folder / "mood" / "task.json").write_text(json.dumps(card))
        assert message in refusal("jsonl", folder)


@pytest.fixture
def crossfit_folder(tmp_path: Path) -> Path:
    """The task `a[b]` in the layout of CrossFit."""
    (tmp_path / "a[b]").mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / "a[b]" / f"a[b]_32_13_{split}.tsv").write_text("x\ty\n\n")
    return tmp_path


def test_slips_in_tasks_json_are_named_and_notes_on_the_source_are_not(crossfit_folder: Path) -> None:
    (crossfit_folder / "tasks.json").write_text(
        '{"a[b]": {"source": "web", "licence": "MIT", "metric": "EM", "train": 8, "seeds": [1], "k": 2, "note": "?"}}'
    )
    assert list(load("crossfit", crossfit_folder).tasks) == ["a[b]"]
    (crossfit_folder / "tasks.json").write_text('{"a[b]": {"metrc": "EM"}}')
    assert "'a[b]': metrc: no such field. Did you mean 'metric'?" in refusal("crossfit", crossfit_folder)


def test_only_regular_files_are_read_and_nothing_waits_for_a_pipe(crossfit_folder: Path, folder: Path) -> None:
    started = time.monotonic()
    table = crossfit_folder / "a[b]" / "a[b]_32_13_train.tsv"
    table.unlink()
    with table.open("wb") as stream:
        stream.truncate(2**31)
    assert "_train.tsv:1: the line is longer than 4 MiB" in refusal("crossfit", crossfit_folder)
    table.write_text("x\ty\n")
    for kind, file in (("crossfit", crossfit_folder / "tasks.json"), ("jsonl", folder / "mood" / "task.json"),
                       ("jsonl", folder / "mood" / "dev.jsonl"), ("jsonl", folder / "partition.json")):  # fmt: skip
        root = crossfit_folder if kind == "crossfit" else folder
        os.mkfifo(file)
        assert f"{file}: it is a pipe; expected a regular file" in refusal(kind, root)
        file.unlink()
        file.mkdir()
        assert f"{file}: it is a folder; expected a regular file" in refusal(kind, root)
        file.rmdir()
        file.symlink_to("/dev/zero")
        assert f"{file}: it is a device; expected a regular file" in refusal(kind, root)
        file.unlink()
    assert time.monotonic() - started < 10


def test_a_path_that_no_file_system_takes_is_no_folder() -> None:
    for path in ("x" * 5000, "a\0b", "~nobody-of-this-name/x"):
        for kind in ("jsonl", "crossfit", "conll", "text"):
            assert "is not a folder" in refusal(kind, Path(path))


def test_names_become_safe_and_different_files() -> None:
    names = (
        "../../up",
        "/etc/passwd",
        "glue/rte",
        "glue%2Frte",
        "a" * 250,
        "a" * 251,
        "..",
        ".",
        ".git",
        "-rf",
        "é",
    )
    files = [file_name(name) for name in names]
    assert len(set(files)) == len(names)
    for file in files:
        assert "/" not in file and file[0] not in ".-" and len(file.encode()) < 180
    assert [file_name(name) for name in ("rte", "bbh-navigate", "a.b c_é")] == ["rte", "bbh-navigate", "a.b c_é"]
    for name in ("", " ", "a\nb", "a\ud800", "\x1b[31m"):
        with pytest.raises(InputError, match="name"):
            check_name(name, "task")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("splits={tarin: train}", "No split is called 'tarin'. Did you mean 'train'"),
        ("splits={}", "(command line, 'tasks.hub.nli.splits={}'): expected at least one split"),
        ("metric=acc", "tasks.hub.nli.metric = 'acc' (command line, 'tasks.hub.nli.metric=acc'): No metric"),
        ("metric=acc", "Did you mean 'ACC'?"),
    ],
)  # fmt: skip
def test_names_in_a_hub_task_are_looked_up_when_the_config_is_read(field: str, message: str) -> None:
    fields = ("path=json", "input=a", "output=b", field)
    with pytest.raises(InputError) as caught:
        load_config(SuiteConfig, overrides=["suite=hub", *(f"tasks.hub.nli.{field}" for field in fields)])
    assert message in str(caught.value)
