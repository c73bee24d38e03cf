"""A user's own tasks, as JSON lines or through the datasets library, need no code."""

import json
import pickle
from pathlib import Path

import datasets
import pytest

from polyray.config import load_config
from polyray.errors import InputError
from polyray.tasks import SPLITS, HubOptions, Suite, TasksOptions, load_suite, read_all
from polyray.training.recipe import SuiteConfig


def write_lines(file: Path, rows: list[dict[str, object]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "own"
    write_lines(
        root / "mood" / "train.jsonl",
        [{"input": "fine", "output": "good", "id": 1}, {"input": "dull", "output": "bad"}],
    )
    write_lines(root / "mood" / "dev.jsonl", [{"input": "so-so", "output": "bad"}])
    write_lines(root / "mood" / "test.jsonl", [{"input": "größer", "output": "good"}])
    (root / "mood" / "task.json").write_text('{"category": "classification", "labels": ["good", "bad"]}')
    write_lines(root / "capital" / "train.jsonl", [{"input": "France?", "output": ["Paris", "Paris, France"]}])
    write_lines(root / "capital" / "test.jsonl", [{"input": "Peru?", "output": "Lima"}])
    write_lines(root / "sums.jsonl", [{"input": f"{i} + 1", "output": str(i + 1)} for i in range(20)])
    write_lines(root / "pick" / "train.jsonl", [{"input": "colour", "output": "red", "choices": ["red", "cat"]}])
    return root


def load(folder: Path, **fields: object) -> Suite:
    return load_suite(
        TasksOptions.model_validate({"kind": "jsonl", "path": str(folder), "prompt_name": False, **fields})
    )


def test_folders_and_lone_files_are_tasks(folder: Path) -> None:
    assert list(load(folder).tasks) == ["capital", "mood", "pick", "sums"]


def test_a_line_becomes_an_example(folder: Path) -> None:
    suite = load(folder)
    assert suite.tasks["capital"].examples("train")[0].outputs == ("Paris", "Paris, France")
    assert suite.tasks["mood"].examples("test")[0].input == "größer"
    assert suite.tasks["pick"].examples("train")[0].choices == ("red", "cat")
    assert load(folder, prompt_name=True).tasks["mood"].examples("dev")[0].input == "[mood] so-so"


def test_metric_and_labels_come_from_the_card_or_from_the_choices(folder: Path) -> None:
    tasks = load(folder).tasks
    assert {name: task.metric for name, task in tasks.items()} == {
        "capital": "EM", "mood": "ACC", "pick": "ACC", "sums": "EM",
    }  # fmt: skip
    assert tasks["mood"].labels == ("good", "bad")
    assert [name for name, task in tasks.items() if task.rankable] == ["mood", "pick"]


def test_a_lone_file_gives_one_of_ten_inputs_to_dev_and_one_to_test(folder: Path) -> None:
    task = load(folder).tasks["sums"]
    parts = {split: [example.input for example in task.examples(split)] for split in SPLITS}
    assert (parts["dev"], parts["test"]) == (["8 + 1", "18 + 1"], ["9 + 1", "19 + 1"])
    assert len(parts["train"]) == 16


def test_a_repeated_input_of_a_lone_file_stays_in_one_split(folder: Path) -> None:
    rows: list[dict[str, object]] = [{"input": f"{i % 15}", "output": f"{i}"} for i in range(60)]
    write_lines(folder / "sums.jsonl", rows)
    inputs = [{example.input for example in load(folder).tasks["sums"].examples(split)} for split in SPLITS]
    assert sum(map(len, inputs)) == len(set.union(*inputs)) == 15


def test_the_first_answer_of_every_example_scores_one(folder: Path) -> None:
    for task in load(folder).tasks.values():
        examples = task.examples("train")
        assert task.score([example.outputs[0] for example in examples], examples) == {task.metric: 1.0}


def test_a_partition_beside_the_tasks_is_used(folder: Path) -> None:
    (folder / "partition.json").write_text('{"train": ["sums"], "test": ["mood"]}')
    assert load(folder).partition == {"train": ("sums",), "dev": (), "test": ("mood",)}


def test_a_suite_travels_to_another_process(folder: Path) -> None:
    suite = load(folder, include=["mood"])
    assert read_all(pickle.loads(pickle.dumps(suite))) == read_all(suite)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"input": "x", "output": "good"}\n{"input": "y", "output": "good"\n', r"train.jsonl:2: not valid JSON"),
        ('["x", "good"]\n', r"train.jsonl:1: expected a JSON object, found list"),
        ('{"input": "x"}\n', r"train.jsonl:1: expected the field 'output' .* found None"),
        ('{"output": "good"}\n', r"train.jsonl:1: expected the field 'input'"),
        ('{"input": "x", "output": 3}\n', r"train.jsonl:1: .*'output' with a text or a list of texts, found 3"),
        ('{"input": "x", "output": []}\n', r"train.jsonl:1: expected the field 'output'"),
        ('{"input": "x", "output": "god"}\n', r"train.jsonl:1: 'god' is not a label of 'mood'. Did you mean 'good'"),
        ('{"input": "x", "output": "good", "choices": ["bad"]}\n', r"train.jsonl:1: .*not among the choices"),
        ('{"input": "x", "output": "good"}\n\n{"input": "y", "output": "good"}\n', r"train.jsonl:2: the line is blank"),
        ("", r"train.jsonl is empty"),
    ],
)  # fmt: skip
def test_a_malformed_line_names_file_and_line(folder: Path, content: str, message: str) -> None:
    (folder / "mood" / "train.jsonl").write_text(content)
    with pytest.raises(InputError, match=message):
        load(folder)


def test_a_wrong_byte_names_file_and_line(folder: Path) -> None:
    (folder / "mood" / "dev.jsonl").write_bytes(b'{"input": "x", "output": "good"}\n{"input": "\xff"}\n')
    with pytest.raises(InputError, match=r"dev.jsonl:2: the byte 0xff is not UTF-8"):
        load(folder)


def test_an_unknown_field_of_the_card_is_named(folder: Path) -> None:
    (folder / "mood" / "task.json").write_text('{"label": ["good"]}')
    with pytest.raises(InputError, match=r"task.json: label: .*Fields of a task: category, metric, labels"):
        load(folder)


def test_a_missing_split_names_the_file_that_would_hold_it(folder: Path) -> None:
    with pytest.raises(InputError, match=r"'capital' has no split 'dev'; expected the file .*capital/dev.jsonl"):
        read_all(load(folder), ["capital"])


def test_a_lone_file_that_is_too_small_says_how_to_split_it(folder: Path) -> None:
    write_lines(folder / "sums.jsonl", [{"input": "1", "output": "1"}])
    with pytest.raises(InputError, match="needs at least 10"):
        load(folder)


def test_a_task_that_is_there_twice_is_refused(folder: Path) -> None:
    write_lines(folder / "mood.jsonl", [{"input": "1", "output": "1"}])
    with pytest.raises(InputError, match="'mood' is there twice"):
        load(folder)


def test_a_folder_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no task"):
        load(tmp_path)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return tmp_path


def hub(name: str, source: dict[str, object]) -> Suite:
    return load_suite(TasksOptions.model_validate({"kind": "hub", "hub": {name: source}, "prompt_name": False}))


def parquet_folder(root: Path) -> Path:
    features = datasets.Features(
        {"premise": datasets.Value("string"), "label": datasets.ClassLabel(names=["entailment", "neutral"])}
    )
    for split, labels in {"train": [0, 1], "validation": [1], "test": [-1]}.items():
        premises = [f"{split} premise {i}" for i in range(len(labels))]
        rows = datasets.Dataset.from_dict({"premise": premises, "label": labels}, features=features)
        rows.to_parquet(root / "nli" / f"{split}.parquet")
    return root / "nli"


def test_a_dataset_with_class_names_is_read_as_words(hub_cache: Path) -> None:
    suite = hub("nli", {"path": str(parquet_folder(hub_cache)), "input": "premise: {premise}", "output": "{label}"})
    task = suite.tasks["nli"]
    assert (task.labels, task.metric, task.rankable) == (("entailment", "neutral"), "ACC", True)
    read = read_all(suite, splits=["train", "dev"])["nli"]
    assert [example.outputs[0] for example in read] == ["entailment", "neutral", "neutral"]
    assert read[0].input == "premise: train premise 0"


def test_ones_own_words_replace_the_class_names(hub_cache: Path) -> None:
    source = {"path": str(parquet_folder(hub_cache)), "input": "{premise}", "output": "It is {label}."}
    task = hub("nli", {**source, "labels": ["true", "open"]}).tasks["nli"]
    assert task.labels == ("It is true.", "It is open.")
    assert [example.outputs[0] for example in task.examples("train")] == ["It is true.", "It is open."]


def test_an_unlabelled_split_is_an_input_error(hub_cache: Path) -> None:
    suite = hub("nli", {"path": str(parquet_folder(hub_cache)), "input": "{premise}", "output": "{label}"})
    with pytest.raises(InputError, match=r"nli test, row 0, 'label': the class -1 has no name"):
        read_all(suite)


def test_json_files_slices_and_lists_of_answers_work(hub_cache: Path) -> None:
    rows: list[dict[str, object]] = [
        {"q": f"question {i}", "answers": {"text": [f"{i}", f"no {i}"]}} for i in range(10)
    ]
    write_lines(hub_cache / "qa.jsonl", rows)
    source: dict[str, object] = {
        "path": "json", "data_files": {"rows": str(hub_cache / "qa.jsonl")}, "input": "{q}",
        "output": "{answers[text]}",
        "splits": {"train": "rows[:80%]", "dev": "rows[80%:]"}, "metric": "QA-F1",
    }  # fmt: skip
    task = hub("qa", source).tasks["qa"]
    assert (task.labels, task.metric, len(task.examples("train"))) == (None, "QA-F1", 8)
    assert task.examples("dev")[0].outputs == ("8", "no 8")
    with pytest.raises(InputError, match="'qa' has no split 'test'"):
        task.examples("test")


def test_numbers_in_a_csv_take_the_words_given_and_texts_stay_within_them(hub_cache: Path) -> None:
    (hub_cache / "reviews.csv").write_text("text,stars,mood\nfine,1,good\ndull,0,bad\n")
    source = {"path": "csv", "data_files": {"train": str(hub_cache / "reviews.csv")}, "input": "{text}"}
    splits = {"splits": {"train": "train"}}
    numbers = hub("stars", {**source, **splits, "output": "{stars}", "labels": ["poor", "rich"]}).tasks["stars"]
    assert [example.outputs[0] for example in numbers.examples("train")] == ["rich", "poor"]
    words = hub("mood", {**source, **splits, "output": "{mood}", "labels": ["good"]}).tasks["mood"]
    with pytest.raises(InputError, match="row 1: 'bad' is not a label of 'mood'"):
        words.examples("train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": "{premis}"}, "No column of tasks.hub.nli is called 'premis'. Did you mean 'premise'"),
        ({"input": "{premise"}, "cannot read the template '{premise'"),
        ({"output": "labels"}, "is called 'labels'. Did you mean 'label'"),
        ({"output": "{{}}"}, "names no column"),
        ({"labels": ["one"]}, "has 1 words for the 2 classes entailment, neutral"),
        ({"splits": {"train": "trian"}}, r"Cannot load the train split of tasks.hub.nli .*trian"),
        ({"path": "./no_such_dataset"}, r"Cannot load the train split of tasks.hub.nli \(path './no_such_dataset'"),
        ({"path": "nobody/no_such_dataset"}, r"Without a network, path must be a local folder"),
    ],
)
def test_a_wrong_hub_option_is_explained(hub_cache: Path, change: dict[str, object], message: str) -> None:
    source = {"path": str(parquet_folder(hub_cache)), "input": "{premise}", "output": "{label}", **change}
    with pytest.raises(InputError, match=message):
        hub("nli", source)


def test_the_hub_suite_without_datasets_says_what_to_set() -> None:
    with pytest.raises(InputError, match=r"set tasks.hub.NAME.path"):
        load_suite(TasksOptions(kind="hub"))


def test_hub_tasks_can_be_set_on_the_command_line() -> None:
    fields = ["path=super_glue", "input=x {p}", "output=l"]
    config = load_config(SuiteConfig, overrides=["suite=hub", *(f"tasks.hub.rte.{field}" for field in fields)])
    assert isinstance(config.tasks.options, HubOptions)
    rte = config.tasks.options.hub["rte"]
    assert (rte.path, rte.input, rte.output) == ("super_glue", "x {p}", "{l}")
