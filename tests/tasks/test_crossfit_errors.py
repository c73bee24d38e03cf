"""Mistakes in a CrossFit folder or in the options are named by file and line, with what would be right."""

import json
from pathlib import Path

import pytest

from polyray.errors import InputError
from polyray.tasks import Suite, TasksOptions, load_suite, read_all

LINES = {
    "feelings": (16, "fine film\tgood\ndull film\tbad\n"),
    "trivia": (32, "who?\tAda\tAda Lovelace\n"),
    "quiz": (32, "Pick a colour (A) red (B) a cat\tred\n"),
}
CARDS = {
    "feelings": {"category": "classification/sentiment", "metric": "ACC", "labels": ["good", "bad"]},
    "trivia": {"category": "qa/closed-book qa", "metric": "EM", "multiple_answers": True},
    "quiz": {"category": "qa/multiple-choice qa", "metric": "ACC"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, (k, text) in LINES.items():
        (tmp_path / name).mkdir()
        for seed in (13, 100):
            for split in ("train", "dev", "test"):
                (tmp_path / name / f"{name}_{k}_{seed}_{split}.tsv").write_text(text)
    (tmp_path / "tasks.json").write_text(json.dumps(CARDS))
    (tmp_path / "custom_tasks_splits").mkdir()
    (tmp_path / "custom_tasks_splits" / "random.json").write_text('{"train": ["trivia", "feelings"], "test": ["quiz"]}')
    return tmp_path


def load(folder: Path, **fields: object) -> Suite:
    return load_suite(TasksOptions.model_validate({"kind": "crossfit", "path": str(folder), **fields}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\tgood\nno tab here\n", r"train\.tsv:2: found 1 column, expected input TAB output"),
        (b"fine\tgood\tbad\n", r"train\.tsv:1: found 3 columns"),
        (b"fine\tgood\n\nfine too\tgood\n", r"train\.tsv:2: found 1 column"),
        (b"", r"train\.tsv is empty"),
        (b"fine\tgood\nna\xefve\tbad\n", r"train\.tsv:2: the byte 0xef is not UTF-8"),
        (b"fine\tgoood\n", r"train\.tsv:1: 'goood' is not a label of 'feelings'. Did you mean 'good'\?"),
        (b"\tgood\n", r"train\.tsv:1: the input is empty"),
        (b"fine\t \n", r"train\.tsv:1: an output is empty"),
    ],
)
def test_a_malformed_line_names_file_and_line(folder: Path, content: bytes, message: str) -> None:
    (folder / "feelings" / "feelings_16_13_train.tsv").write_bytes(content)
    suite = load(folder)
    with pytest.raises(InputError, match=message):
        read_all(suite)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"partition": "randon"}, "No partition is called 'randon'. Did you mean 'random'"),
        ({"partition": "gone.json"}, "'gone.json' is not a file"),
        ({"include": ["triva"]}, "'triva' matches no task and no category. Did you mean 'trivia'"),
        ({"include": ["trivia"], "labelled": True}, "labelled leaves no task: none of trivia"),
        ({"path": ""}, "set tasks.path"),
        ({"path": "no/such/folder"}, "is not a folder"),
    ],
)
def test_an_option_that_fits_nothing_says_what_would(folder: Path, fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(folder, **fields)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"train": ["triva"]}', "'train': there is no task 'triva'. Did you mean 'trivia'"),
        ('{"train": ["quiz"], "test": ["quiz"]}', "'quiz' is in 'train' and again in 'test'"),
        ('{"trian": ["quiz"]}', "'trian'. Did you mean 'train'"),
        ('{"train": "quiz"}', "expected a list of task names, found 'quiz'"),
        ('{"train": []}', "names no task"),
        ('["quiz"]', "random.json:1: expected a JSON object, found list"),
        ('{"train": [\n"quiz",]}', "random.json:2: not valid JSON"),
    ],
)
def test_a_wrong_partition_is_explained(folder: Path, content: str, message: str) -> None:
    (folder / "custom_tasks_splits" / "random.json").write_text(content)
    with pytest.raises(InputError, match=message):
        load(folder, partition="random")


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"metric": "ACCC"}, "No metric is called 'ACCC'"),
        ({"labels": []}, "'quiz': labels must be"),
        ({"labels": "good"}, "'quiz': labels: "),
        ([], "'quiz': expected an object"),
    ],
)
def test_a_wrong_tasks_json_is_explained(folder: Path, card: object, message: str) -> None:
    (folder / "tasks.json").write_text(json.dumps({**CARDS, "quiz": card}))
    with pytest.raises(InputError, match=message):
        load(folder)


def test_an_output_that_is_no_number_cannot_be_correlated(folder: Path) -> None:
    (folder / "tasks.json").write_text(
        json.dumps({"trivia": {"metric": "Pearson-Correlation", "multiple_answers": True}})
    )
    with pytest.raises(InputError, match=r"trivia_32_100_train.tsv:1: Pearson-Correlation needs a number.*'Ada'"):
        load(folder).tasks["trivia"].examples("train")


def test_a_missing_file_of_a_seed_is_named(folder: Path) -> None:
    (folder / "quiz" / "quiz_32_13_dev.tsv").unlink()
    with pytest.raises(InputError, match=r"lacks quiz_32_13_dev\.tsv"):
        load(folder)


def test_files_of_two_sizes_in_one_task_are_refused(folder: Path) -> None:
    (folder / "quiz" / "quiz_16_13_dev.tsv").write_text("x\ty\n")
    with pytest.raises(InputError, match="mixes files of k = 16 and 32"):
        load(folder)


def test_a_file_with_a_wrong_name_is_named(folder: Path) -> None:
    (folder / "quiz" / "quiz_32_13_valid.tsv").write_text("x\ty\n")
    with pytest.raises(InputError, match="quiz_32_13_valid.tsv: expected a name such as"):
        load(folder)


def test_a_broken_task_that_is_not_taken_does_no_harm(folder: Path) -> None:
    (folder / "quiz" / "quiz_32_13_dev.tsv").unlink()
    assert set(load(folder, include=["trivia"]).tasks) == {"trivia"}


def test_a_folder_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no CrossFit task"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("split", "seed", "message"), [("tset", None, "Did you mean 'test'"), ("test", 7, "no seed 7")]
)
def test_an_unknown_split_or_seed_is_an_input_error(folder: Path, split: str, seed: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(folder).tasks["quiz"].examples(split, seed)
