"""Laws of every kind of suite: a new line in TASKS needs a line in MADE."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest

from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.metrics import METRICS
from polyray.skills.form import TextOptions
from polyray.tasks import (
    SPLITS,
    TASKS,
    ContextQuestion,
    DialogueExample,
    LabelledTexts,
    ParsedWords,
    RawText,
    Suite,
    TaggedWords,
    TasksOptions,
    TextAnswers,
    load_suite,
    read_all,
)

ROWS = {"train": [("fine film", "good"), ("dull film", "bad")], "dev": [("so-so", "bad")], "test": [("lovely", "good")]}


def crossfit(root: Path) -> dict[str, object]:
    folder = root / "crossfit" / "mood"
    folder.mkdir(parents=True)
    for split, rows in ROWS.items():
        text = "".join(f"{source}\t{target}\n" for source, target in rows)
        (folder / f"mood_16_13_{split}.tsv").write_text(text, encoding="utf-8")
    return {"path": str(folder.parent)}


def lines(root: Path) -> Path:
    folder = root / "own" / "mood"
    folder.mkdir(parents=True)
    for split, rows in ROWS.items():
        text = "".join(json.dumps({"input": source, "output": target}) + "\n" for source, target in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return folder


def jsonl(root: Path) -> dict[str, object]:
    return {"path": str(lines(root).parent)}


def hub(root: Path) -> dict[str, object]:
    files = {split: str(lines(root / split) / f"{split}.jsonl") for split in ROWS}
    source = {
        "path": "json", "data_files": files, "input": "{input}", "output": "{output}",
        "splits": {split: split for split in ROWS},
    }  # fmt: skip
    return {"hub": {"mood": source}}


def classification(root: Path) -> dict[str, object]:
    folder = root / "classification" / "mood"
    folder.mkdir(parents=True)
    for split, rows in ROWS.items():
        text = "".join(f"{source}\t{target}\n" for source, target in [("text", "mood"), *rows])
        (folder / f"{split}.tsv").write_text(text, encoding="utf-8")
    return {"path": str(folder.parent), "texts": ["text"], "label": "mood"}


def conll(root: Path) -> dict[str, object]:
    folder = root / "conll" / "names"
    folder.mkdir(parents=True)
    for split in ROWS:
        (folder / f"{split}.txt").write_text(f"in O\nNew B-LOC\nYork I-LOC\n\n{split} O\n", encoding="utf-8")
    return {"path": str(folder.parent)}


def raw_text(root: Path) -> dict[str, object]:
    file = root / "text" / "mood.txt"
    file.parent.mkdir()
    file.write_text("".join(f"line {n}\n" for n in range(20)), encoding="utf-8")
    return {"path": str(file)}


def planted(root: Path) -> dict[str, object]:
    return {}


def treebank(root: Path) -> dict[str, object]:
    folder = root / "treebank" / "UD_Toy"
    folder.mkdir(parents=True)
    for split in ROWS:
        lines = [f"{number}\t{word}\t_\t_\t_\t_\t{head}\t_\t_" for number, word, head in
                 ((1, split, "2\tnsubj"), (2, "is", "0\troot"))]  # fmt: skip
        (folder / f"xx_toy-ud-{split}.conllu").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return {"path": str(folder.parent)}


def squad(root: Path) -> dict[str, object]:
    folder = root / "squad" / "mood"
    folder.mkdir(parents=True)
    for split in ROWS:
        answers = [{"text": "fine", "answer_start": 10}]
        paragraph = {"context": "It was so fine.", "qas": [{"id": "1", "question": "How?", "answers": answers}]}
        text = json.dumps({"data": [{"paragraphs": [paragraph]}]})
        (folder / f"{split}-v1.1.json").write_text(text, encoding="utf-8")
    return {"path": str(folder.parent)}


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"speaker": "US"[number % 2], "text": text} for number, text in enumerate(texts)]


def dstc(knowledge: dict[str, Any], reference: dict[str, Any]) -> Callable[[Path], dict[str, object]]:
    def write(root: Path) -> dict[str, object]:
        folder = root / "dstc"
        for split, name in (("train", "train"), ("val", "dev"), ("test", "test")):
            label = {"target": True, "knowledge": [reference], "response": f"It is {RESPONSE}."}
            (folder / split).mkdir(parents=True)
            logs = [turns(f"a {name} inn?"), turns("Hi.", f"{name}?", "Is it free?")]
            (folder / split / "logs.json").write_text(json.dumps(logs))
            (folder / split / "labels.json").write_text(json.dumps([{"target": False}, label]))
        (folder / "knowledge.json").write_text(json.dumps({"hotel": {"7": {"name": "INN", **knowledge}}}))
        return {"path": str(folder)}

    return write


RESPONSE = "free for all of our guests"
DSTC9 = dstc({"docs": {"0": {"title": "Wifi?", "body": "Free."}}}, {"domain": "hotel", "entity_id": 7, "doc_id": 0})
DSTC11 = dstc(
    {"reviews": {"0": {"sentences": {"1": "Free wifi."}}}},
    {"domain": "hotel", "entity_id": 7, "doc_type": "review", "doc_id": 0, "sent_id": 1},
)


def begin(root: Path) -> dict[str, object]:
    header = "model_name\tdata_source\tknowledge\tmessage\tresponse\tbegin_label\n"
    for split in ("dev", "test"):
        row = f"t5\twow\tIt is {split}.\tIs it?\tYes, it is {RESPONSE}.\tFully attributable\n"
        (root / f"begin_{split}_wow.tsv").write_text(header + row)
    return {"path": str(root), "splits": {"train": "test", "dev": "dev", "test": "dev"}}


def wow(root: Path) -> dict[str, object]:
    for split in ("train", "valid_random_split", "test_random_split"):
        answer = {"speaker": "1_Wizard", "text": f"It is {RESPONSE}.", "checked_sentence": {"k": "It is free."}}
        dialogue = {"dialog": [{"speaker": "0_Apprentice", "text": f"Is {split} free?"}, answer]}
        (root / f"{split}.json").write_text(json.dumps([dialogue]))
    return {"path": str(root)}


def faithdial(root: Path) -> dict[str, object]:
    for split in ("train", "valid", "test"):
        said = {"history": [f"Is {split} free?"], "knowledge": "It is free.", "response": f"It is {RESPONSE}."}
        (root / f"{split}.json").write_text(json.dumps([{"utterances": [{**said, "original_response": None}]}]))
    return {"path": str(root)}


def messages(root: Path) -> dict[str, object]:
    folder = root / "chats" / "mood"
    folder.mkdir(parents=True)
    for split in ROWS:
        said = [("system", "Be brief."), ("user", f"Is {split} free?"), ("assistant", f"It is {RESPONSE}.")]
        line = json.dumps({"messages": [{"role": role, "content": text} for role, text in said]})
        (folder / f"{split}.jsonl").write_text(line + "\n")
    return {"path": str(folder.parent)}


GOLD: dict[type, Callable[[Any], Any]] = {  # perfect predictions
    TextAnswers: lambda example: example.outputs[0],
    LabelledTexts: lambda example: example.label,
    TaggedWords: lambda example: example.tags,
    ParsedWords: lambda example: tuple(zip(example.heads, example.relations, strict=True)),
    ContextQuestion: lambda example: example.answers[0],
    DialogueExample: lambda example: example.outputs[0],
    RawText: lambda example: {"tokens": 2, "hits": 2, "loss": 0.0},
}
MADE: dict[str, Callable[[Path], dict[str, object]]] = {
    "classification": classification, "conll": conll, "crossfit": crossfit, "hub": hub, "jsonl": jsonl,
    "planted": planted, "squad": squad, "text": raw_text, "treebank": treebank, "begin": begin, "dstc9": DSTC9,
    "dstc11": DSTC11, "faithdial": faithdial, "messages": messages, "wow": wow,
}  # fmt: skip


@pytest.fixture(params=sorted(TASKS))
def suite(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return load_suite(TasksOptions.model_validate({"kind": request.param, **MADE[request.param](tmp_path)}))


def test_every_example_belongs_to_its_task_and_can_be_answered(suite: Suite) -> None:
    for name, examples in read_all(suite).items():
        task = suite.tasks[name]
        assert examples and task.name == name
        kinds = TASKS[suite.name].objectives if suite.name in TASKS else ()
        assert not kinds or task.objective in kinds
        for example in examples:
            assert example.task == name and example.line and len(example.line.splitlines()) == 1
            assert json.loads(json.dumps(example.record())) == example.record()
            assert hash(example) == hash(replace(example))
            gold = GOLD[type(example)](example)
            if isinstance(example, ParsedWords):
                gold = [relation for _, relation in gold]
            if task.labels is not None:
                assert {*([gold] if isinstance(gold, str) else gold)} <= set(task.labels)


def test_the_right_answers_score_one(suite: Suite) -> None:
    for task in suite.tasks.values():
        lookup(METRICS, task.metric, "metric")
        examples = task.examples("train")
        scores = task.score([GOLD[type(example)](example) for example in examples], examples)
        assert next(iter(scores)) == task.metric and scores[task.metric] == pytest.approx(1)


def test_a_form_says_how_inputs_were_made_and_what_may_be_answered(suite: Suite) -> None:
    raw = {"input": ROWS["train"][0][0]}  # as it stands in the files of the tasks called mood
    for name, task in suite.tasks.items():
        form = task.form(TextOptions(max_input=7))
        assert (form.objective, form.metric, form.labels) == (task.objective, task.metric, task.labels or ())
        assert form.text.max_input == 7
        example = task.examples("train")[0]
        if isinstance(example, TextAnswers) and name == "mood":
            assert form.prompt.format(**raw) == example.input == "[mood] fine film"


def test_a_partition_names_tasks_of_the_suite(suite: Suite) -> None:
    assert set(suite.partition) == set(SPLITS) and suite.partition["train"]
    assert {name for names in suite.partition.values() for name in names} <= set(suite.tasks)


def test_reading_twice_gives_the_same_and_a_suite_travels(suite: Suite) -> None:
    assert read_all(suite) == read_all(pickle.loads(pickle.dumps(suite)))


def test_a_split_or_seed_that_is_not_there_is_an_input_error(suite: Suite) -> None:
    task = next(iter(suite.tasks.values()))
    with pytest.raises(InputError, match="trian"):
        task.examples("trian")
    with pytest.raises(InputError, match="987654"):
        task.examples("train", 987654)
