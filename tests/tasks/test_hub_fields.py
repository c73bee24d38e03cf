"""Datasets whose columns hold tagged words, labelled texts, trees and questions, as the Hub has them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from gathering import for_cases
from pydantic import ValidationError

from polyray.errors import InputError
from polyray.tasks import (
    DialogueExample,
    LabelledTexts,
    ParsedWords,
    TaggedWords,
    Task,
    TasksOptions,
    Turn,
    load_suite,
)
from polyray.tasks.dialogue import Speaker
from polyray.tasks.hub_fields import KINDS
from polyray.tasks.options import HUB_COLUMNS

TAGS = List(ClassLabel(names=["O", "B-PER", "I-PER", "B-DATE"]))
WORDS = List(Value("string"))


Loader = Callable[..., Task]


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Loader:
    """The task of a dataset with one split; test_suites loads one from files, which takes a tenth of a second."""

    def load(features: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], **fields: object) -> Task:
        data = Dataset.from_list([dict(row) for row in rows], features=Features(features))
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: data)
        source = {"path": "there/is/none", "splits": {"train": "train"}, **fields}
        return load_suite(TasksOptions.model_validate({"kind": "hub", "hub": {"one": source}})).tasks["one"]

    return load


def test_every_objective_with_columns_has_a_kind() -> None:
    assert set(KINDS) == set(HUB_COLUMNS)


def test_entities_are_tagged_in_iob2_with_names_of_classes(task: Loader) -> None:
    features = {"tokens": WORDS, "ner_tags": TAGS, "langs": WORDS}
    rows = [{"tokens": ["Ada", "L", "in", "1840"], "ner_tags": [1, 2, 0, 3], "langs": ["en"] * 4}]
    ner = task(features, rows, objective="tagging", relabel={"DATE": "O"})
    assert ner.labels == ("B-PER", "I-PER", "O") and (ner.metric, ner.objective) == ("Entity-F1", "tagging")
    example = TaggedWords(task="one", words=("Ada", "L", "in", "1840"), tags=("B-PER", "I-PER", "O", "O"))
    assert ner.examples("train") == (example,)
    chosen = task(features, rows, objective="tagging", types=["DATE", "LOC"])
    assert chosen.labels == ("B-DATE", "B-LOC", "I-DATE", "I-LOC", "O")
    assert chosen.examples("train")[0].tags == ("O", "O", "O", "B-DATE")


def test_single_tags_may_be_texts(task: Loader) -> None:
    pos = task(
        {"form": WORDS, "upos": WORDS}, [{"form": ["a", "b"], "upos": ["N", "V"]}], objective="tagging",
        columns={"words": "form", "tags": "upos"}, labels=["V", "N"], relabel={"N": "NOUN"},
    )  # fmt: skip
    assert (pos.labels, pos.metric, pos.examples("train")[0].tags) == (("NOUN", "V"), "Tag-ACC", ("NOUN", "V"))


def test_one_text_or_two_are_classified(task: Loader) -> None:
    features = {"premise": Value("string"), "hypothesis": Value("string"), "label": ClassLabel(names=["yes", "no"])}
    row = {"premise": "a", "hypothesis": "b", "label": 1}
    nli = task(features, [row], objective="classification")
    assert (nli.labels, nli.metric, nli.prompt) == (("no", "yes"), "Label-ACC", "{premise} {hypothesis}")
    assert nli.examples("train") == (LabelledTexts(task="one", texts=("a", "b"), label="no"),)
    words = {"text": "premise", "label": "label"}
    mood = task(features, [row], objective="classification", columns=words, labels=["good", "bad"])
    assert mood.examples("train") == (LabelledTexts(task="one", texts=("a",), label="bad"),)


def test_trees_leave_out_ranges_of_words_and_questions_know_their_answers(task: Loader) -> None:
    ud = task(
        {"tokens": WORDS, "head": WORDS, "deprel": WORDS},
        [{"tokens": ["ab", "a", "b"], "head": ["None", "2", "0"], "deprel": ["_", "nsubj:pass", "root"]}],
        objective="parsing",
    )  # fmt: skip
    assert ud.examples("train") == (
        ParsedWords(task="one", words=("a", "b"), heads=(2, 0), relations=("nsubj", "root")),
    )  # fmt: skip
    assert len(ud.labels or ()) == 37
    answers = {"text": List(Value("string")), "answer_start": List(Value("int32"))}
    squad = task(
        {"question": Value("string"), "context": Value("string"), "answers": answers},
        [{"question": "who", "context": "it was Ada", "answers": {"text": ["Ada"], "answer_start": [7]}}],
        objective="spans", metric="Span-EM",
    )  # fmt: skip
    assert squad.metric == "Span-EM" and squad.labels is None and squad.prompt == "{question} {context}"
    (question,) = squad.examples("train")
    assert (question.answers, question.starts) == (("Ada",), (7,))


def wrong(features: Mapping[str, Any], row: Mapping[str, Any], message: str, **fields: object) -> dict[str, object]:
    return {"features": features, "row": row, "message": message, "fields": fields}


NLI = {"premise": Value("string"), "hypothesis": Value("string"), "label": Value("int64")}
TREE = {"tokens": WORDS, "head": WORDS, "deprel": WORDS}


@for_cases(
    [
        wrong({"tokens": WORDS, "ner_tags": TAGS}, {"tokens": ["a"], "ner_tags": [1, 2]},
              "one train, row 0: expected one of each for every word, found 1 words, 2 tags", objective="tagging"),
        wrong({"tokens": WORDS, "ner_tags": TAGS}, {"tokens": [], "ner_tags": []},
              "row 0: expected a list of texts as the words, found", objective="tagging"),
        wrong({"tokens": WORDS, "ner_tags": TAGS}, {"tokens": ["a"], "ner_tags": [1]},
              "labels has 2 words for the 4 classes O, B-PER", objective="tagging", labels=["x", "y"]),
        wrong({"tokens": WORDS, "ner_tags": WORDS}, {"tokens": ["a"], "ner_tags": ["X"]},
              r"set tasks\.hub\.one\.types .* or tasks\.hub\.one\.labels", objective="tagging"),
        wrong({"tokens": WORDS, "ner_tags": WORDS}, {"tokens": ["a"], "ner_tags": ["X"]},
              "row 0: 'X' is not among the classes. Known: N, V", objective="tagging", labels=["N", "V"]),
        wrong({"words": WORDS}, {"words": ["a"]}, "No column of tasks.hub.one is called 'tokens'", objective="tagging"),
        wrong(NLI, {"premise": "a", "hypothesis": "b", "label": 2}, r"set tasks\.hub\.one\.labels",
              objective="classification"),
        wrong(NLI, {"premise": "a", "hypothesis": "b", "label": -1}, r"row 0: the class -1 has no name \(2 classes\)",
              objective="classification", labels=["x", "y"]),
        wrong(NLI, {"premise": None, "hypothesis": "b", "label": 1}, "row 0: expected texts, found",
              objective="classification", labels=["x", "y"]),
        wrong(TREE, {"tokens": ["a", "b"], "head": ["2", "1"], "deprel": ["obj", "obj"]},
              "row 0: a sentence without a root", objective="parsing"),
        wrong(TREE, {"tokens": ["a"], "head": ["_"], "deprel": ["_"]}, "row 0: no word has a head",
              objective="parsing"),
    ]
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused(
    task: Loader, features: Mapping[str, Any], row: Mapping[str, Any], message: str, fields: dict[str, object]
) -> None:
    with pytest.raises(InputError, match=message):
        task(features, [row], **fields).examples("train")


def test_fields_that_the_objective_does_not_read_are_refused() -> None:
    for fields, message in (
        ({"input": "a"}, "needs input and output"),
        ({"input": "a", "output": "b", "types": ["PER"]}, "types is not read with objective=answers"),
        ({"objective": "tagging", "output": "b"}, "output is not read with objective=tagging"),
        ({"objective": "tagging", "columns": {"words": "a"}}, "columns names words; expected tags, words"),
        ({"objective": "classification", "columns": {"label": "a"}}, "columns names label; expected label, text"),
        ({"objective": "classification", "columns": {"text": "a"}}, "columns names text; expected label, text"),
    ):
        with pytest.raises(ValidationError, match=message):
            TasksOptions.model_validate({"kind": "hub", "hub": {"one": {"path": "json", **fields}}})


def test_dialogues_are_turns_with_knowledge_or_messages(task: Loader) -> None:
    features = {"history": WORDS, "passage": Value("string"), "response": Value("string")}
    row = {"history": ["Hi.", "Yes?", "Is it free?"], "passage": "It is.", "response": "Yes."}
    columns = {"history": "history", "knowledge": "passage", "response": "response"}
    spoken = task(features, [row], objective="dialogue", columns=columns)
    speakers: list[Speaker] = ["user", "system", "user"]
    history = tuple(Turn(speaker=who, text=text) for who, text in zip(speakers, row["history"], strict=True))
    (example,) = spoken.examples("train")
    assert example == DialogueExample(
        task="one", history=history, knowledge=("It is.",), outputs=("Yes.",), location=""
    )  # fmt: skip
    assert (spoken.metric, spoken.objective, "{knowledge}" in spoken.prompt) == ("BLEU", "dialogue", True)
    message = {"role": Value("string"), "content": Value("string")}
    said = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes?"}]
    chat = task({"messages": [message]}, [{"messages": said}], objective="chat")
    assert chat.examples("train")[0].target == "Yes?" and chat.objective == "chat"
    with pytest.raises(InputError, match="one train, row 0, message 2: unknown role 'bot'"):
        task({"messages": [message]}, [{"messages": [said[0], {**said[1], "role": "bot"}]}], objective="chat").examples(
            "train"
        )
    with pytest.raises(InputError, match="one train, row 0: expected the field 'response' with a text"):
        task(features, [{**row, "response": ""}], objective="dialogue", columns=columns).examples("train")
