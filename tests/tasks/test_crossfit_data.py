"""The CrossFit tasks of the data folder are read completely."""

import json
from pathlib import Path
from typing import Any

import pytest

from polyray.tasks import SPLITS, FolderOptions, Suite, TasksOptions, load_suite, read_all

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def suite(data: Path) -> Suite:
    return load_suite(TasksOptions(kind="crossfit", options=FolderOptions(path=str(data / "crossfit"))))


@pytest.fixture(scope="module")
def cards(data: Path) -> dict[str, Any]:
    cards: dict[str, Any] = json.loads((data / "crossfit" / "tasks.json").read_text(encoding="utf-8"))
    return cards


def test_every_task_seed_and_split_has_as_many_examples_as_its_card_says(suite: Suite, cards: dict[str, Any]) -> None:
    assert set(suite.tasks) == set(cards)
    assert len(suite.tasks) == 55
    for name, task in suite.tasks.items():
        assert task.seeds == tuple(cards[name]["seeds"])
        for seed in task.seeds:
            counts = {split: len(task.examples(split, seed)) for split in SPLITS}
            assert counts == {split: cards[name][split] for split in SPLITS}, (name, seed)


def test_the_first_answer_of_every_example_scores_one(suite: Suite) -> None:
    for name, task in suite.tasks.items():
        for split in SPLITS:
            for seed in task.seeds if split != "test" else task.seeds[:1]:
                examples = task.examples(split, seed)
                gold = [example.outputs[0] for example in examples]
                assert task.score(gold, examples) == pytest.approx({task.metric: 1.0}), (name, split, seed)


def test_the_test_files_are_the_same_for_every_seed(suite: Suite) -> None:
    for task in suite.tasks.values():
        assert all(task.examples("test", seed) == task.examples("test") for seed in task.seeds)


def test_no_input_is_in_two_splits_of_a_seed(suite: Suite) -> None:
    for name, task in suite.tasks.items():
        for seed in task.seeds:
            inputs = [{example.input for example in task.examples(split, seed)} for split in SPLITS]
            assert sum(map(len, inputs)) == len(set.union(*inputs)), (name, seed)


def test_classification_and_multiple_choice_tasks_can_be_ranked(suite: Suite, cards: dict[str, Any]) -> None:
    for name, task in suite.tasks.items():
        closed = "labels" in cards[name] or "multiple-choice" in task.category or name == "gap_coreference"
        assert task.rankable == closed, name


def test_several_answers_stand_where_the_cards_say(suite: Suite, cards: dict[str, Any]) -> None:
    read = read_all(suite)
    several = {name for name, examples in read.items() if any(len(example.outputs) > 1 for example in examples)}
    assert several == {name for name, card in cards.items() if card["multiple_answers"]}


def test_every_partition_loads_as_written(data: Path) -> None:
    files = sorted((data / "crossfit" / "custom_tasks_splits").glob("*.json"))
    assert files
    for file in files:
        written = json.loads(file.read_text(encoding="utf-8"))
        options = FolderOptions(path=str(data / "crossfit"), partition=file.stem)
        suite = load_suite(TasksOptions(kind="crossfit", options=options))
        assert suite.partition == {split: tuple(written.get(split, ())) for split in SPLITS}, file.stem


def test_without_its_tasks_json_the_folder_gives_the_same_labels(suite: Suite, data: Path, tmp_path: Path) -> None:
    for name in ("blimp-anaphor_gender_agreement", "poem_sentiment", "aqua_rat"):
        (tmp_path / name).symlink_to(data / "crossfit" / name)
    plain = load_suite(TasksOptions(kind="crossfit", options=FolderOptions(path=str(tmp_path))))
    for name, task in plain.tasks.items():
        bundled = suite.tasks[name]
        assert (task.metric, task.has_choices) == (bundled.metric, bundled.has_choices)
        assert set(task.labels or ()) == set(bundled.labels or ())
