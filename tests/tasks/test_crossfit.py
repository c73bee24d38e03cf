"""CrossFit folders are read as they are."""

import json
import pickle
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from polyray.tasks import SPLITS, Suite, TasksOptions, load_suite, read_all
from polyray.tasks.choices import inline_choices
from polyray.tasks.crossfit_metrics import CROSSFIT_METRICS

SENTIMENT = {
    "train": "fine film\tgood\ndull film\tbad\n",
    "dev": 'a "great one\tgood\nno fun\tbad\n',
    "test": "lovely\tgood\n",
}
TRIVIA = {
    "train": "who?\tAda\tAda Lovelace\n",
    "dev": "when?\t1843\n",
    "test": "where?\tLondon\tthe city of London\tin London\n",
}
QUIZ = {
    "train": "Pick a colour (A) red (B) a cat (C) a dog\tred\n",
    "dev": "P (A) = 1 and P(B) = 2 (A) 3 (B) 1/2\t1/2\n",
    "test": "Pick (A) one (B) two [SEP] a text with (A) in it\ttwo\n",
}
CARDS = {
    "feelings": {"category": "classification/sentiment", "metric": "ACC", "labels": ["good", "bad"], "licence": "MIT"},
    "trivia": {"category": "qa/closed-book qa", "metric": "EM", "multiple_answers": True},
    "quiz": {"category": "qa/multiple-choice qa", "metric": "ACC"},
}


def write_task(
    folder: Path, name: str, k: int, contents: Mapping[str, str], seeds: tuple[int, ...] = (13, 100)
) -> None:
    (folder / name).mkdir(parents=True)
    for seed in seeds:
        for split, text in contents.items():
            (folder / name / f"{name}_{k}_{seed}_{split}.tsv").write_bytes(text.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "crossfit"
    write_task(root, "feelings", 16, SENTIMENT)
    write_task(root, "trivia", 32, TRIVIA)
    write_task(root, "quiz", 32, QUIZ)
    (root / "tasks.json").write_text(json.dumps(CARDS))
    (root / "custom_tasks_splits").mkdir()
    (root / "custom_tasks_splits" / "random.json").write_text(
        json.dumps(
            {"all": ["feelings", "quiz", "trivia"], "train": ["trivia", "feelings"], "dev": [], "test": ["quiz"]}
        )
    )
    return root


def load(folder: Path, **fields: object) -> Suite:
    return load_suite(TasksOptions.model_validate({"kind": "crossfit", "path": str(folder), **fields}))


def test_the_files_become_examples_with_the_tasks_name_before_the_input(folder: Path) -> None:
    (first, second) = load(folder).tasks["feelings"].examples("train")
    assert (first.task, first.input, first.outputs) == ("feelings", "[feelings] fine film", ("good",))
    assert (second.input, second.choices) == ("[feelings] dull film", None)


def test_without_prompt_name_the_input_is_the_column(folder: Path) -> None:
    assert load(folder, prompt_name=False).tasks["feelings"].examples("dev")[0].input == 'a "great one'


def test_tasks_json_gives_category_metric_and_labels(folder: Path) -> None:
    task = load(folder).tasks["feelings"]
    assert (task.category, task.metric, task.labels) == ("classification/sentiment", "ACC", ("good", "bad"))


def test_seeds_keep_the_order_of_crossfit_and_the_first_is_the_default(folder: Path) -> None:
    task = load(folder).tasks["trivia"]
    assert task.seeds == (100, 13)
    assert task.examples("test") == task.examples("test", 100)


def test_further_columns_are_further_accepted_answers(folder: Path) -> None:
    task = load(folder).tasks["trivia"]
    assert task.examples("test")[0].outputs == ("London", "the city of London", "in London")
    assert task.score([" In london! "], task.examples("test")) == {"EM": 1.0}


def test_options_inside_the_input_become_the_examples_choices(folder: Path) -> None:
    suite = load(folder)
    read = read_all(suite, ["quiz"], seeds=[100])["quiz"]
    assert [example.choices for example in read] == [("red", "a cat", "a dog"), ("3", "1/2"), ("one", "two")]
    assert {name for name, task in suite.tasks.items() if task.rankable} == {"feelings", "quiz"}


def test_one_example_without_its_answer_among_the_options_makes_the_task_free_text(folder: Path) -> None:
    (folder / "quiz" / "quiz_32_13_test.tsv").write_text("Pick (A) one (B) two\tthree\n")
    task = load(folder).tasks["quiz"]
    assert not task.rankable
    assert task.examples("train")[0].choices is None


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("x (A) a b (B) c", ("a b", "c")),
        ("x(A)a b(B)c [SEP] more", ("a b", "c")),
        ("x (A) same (B) same", ("same",)),
        ("only (A) one", ("one",)),
        ("no options (B) here", None),
        ("(A) (B) empty", None),
        ("", None),
    ],
)
def test_inline_choices_are_the_texts_behind_the_letters(text: str, options: tuple[str, ...] | None) -> None:
    assert inline_choices(text) == options


def test_the_first_answer_of_every_example_scores_one(folder: Path) -> None:
    for task in load(folder).tasks.values():
        for split in SPLITS:
            examples = task.examples(split)
            assert task.score([example.outputs[0] for example in examples], examples) == {task.metric: 1.0}


def test_reading_needs_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert set(read_all(load(folder))) == {"feelings", "quiz", "trivia"}


def test_no_input_is_in_two_splits(folder: Path) -> None:
    for task in load(folder).tasks.values():
        inputs = [{example.input for example in task.examples(split)} for split in SPLITS]
        assert sum(map(len, inputs)) == len(set.union(*inputs))


def test_a_read_suite_travels_to_another_process(folder: Path) -> None:
    suite = load(folder)
    copy = pickle.loads(pickle.dumps(suite))
    assert read_all(copy) == read_all(suite)


def test_read_all_joins_splits_and_seeds(folder: Path) -> None:
    read = read_all(load(folder), ["trivia"], ["train", "dev"])
    assert [example.outputs[0] for example in read["trivia"]] == ["Ada", "Ada", "1843", "1843"]


def test_a_partition_orders_and_divides_the_tasks(folder: Path) -> None:
    suite = load(folder, partition="random")
    assert list(suite.tasks) == ["trivia", "feelings", "quiz"]
    assert suite.partition == {"train": ("trivia", "feelings"), "dev": (), "test": ("quiz",)}


def test_a_partition_may_be_a_file_of_ones_own(folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text('{"train": ["quiz"]}')
    assert load(folder, partition=str(mine)).partition == {"train": ("quiz",), "dev": (), "test": ()}


def test_without_a_partition_all_tasks_are_for_training(folder: Path) -> None:
    assert load(folder).partition == {"train": ("feelings", "quiz", "trivia"), "dev": (), "test": ()}


@pytest.mark.parametrize(
    ("include", "names"), [(["qa/*"], {"quiz", "trivia"}), (["feel*", "qa/multi*"], {"feelings", "quiz"})]
)
def test_include_takes_patterns_of_names_and_categories(folder: Path, include: list[str], names: set[str]) -> None:
    assert set(load(folder, include=include).tasks) == names


def test_labelled_keeps_tasks_with_a_closed_set_of_answers(folder: Path) -> None:
    suite = load(folder, labelled=True, partition="random")
    assert suite.partition == {"train": ("feelings",), "dev": (), "test": ("quiz",)}


def test_plain_crossfit_data_get_crossfits_metric_and_the_labels_they_hold(tmp_path: Path) -> None:
    write_task(tmp_path, "glue-cola", 16, dict.fromkeys(SPLITS, "x\tacceptable\ny\tunacceptable\n"))
    write_task(tmp_path, "home_made", 32, TRIVIA)
    suite = load(tmp_path)
    assert (suite.tasks["glue-cola"].metric, suite.tasks["home_made"].metric) == ("Matthew-Correlation", "EM")
    assert suite.tasks["glue-cola"].labels == ("acceptable", "unacceptable")
    assert suite.tasks["home_made"].labels is None
    assert suite.tasks["home_made"].examples("train")[0].outputs == ("Ada", "Ada Lovelace")


def test_the_table_of_metrics_holds_the_160_tasks_of_crossfit() -> None:
    assert len(CROSSFIT_METRICS) == 160


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(folder: Path) -> None:
    file = folder / "feelings" / "feelings_16_100_train.tsv"
    plain = load(folder).tasks["feelings"].examples("train")
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert load(folder).tasks["feelings"].examples("train") == plain
