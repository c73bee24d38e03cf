"""Dialogues as data sets have them, read and refused; responses selected; control tokens."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from dialogue_cases import (
    ANSWER,
    FAQ,
    LABELS,
    LOGS,
    SENTENCE,
    chat,
    load,
    write_begin,
    write_chats,
    write_dstc,
    write_json,
)
from gathering import for_cases
from pydantic import ValidationError
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from polyray.errors import InputError
from polyray.skills.form import TextOptions
from polyray.tasks import DialogueExample, Suite, Turn
from polyray.tasks.dialogue.terciles import Terciles


def user(text: str) -> Turn:
    return Turn(speaker="user", text=text)


def system(text: str) -> Turn:
    return Turn(speaker="system", text=text)


def test_answers_of_dstc_rest_on_the_snippets_that_their_labels_name(tmp_path: Path) -> None:
    write_dstc(tmp_path / "eleven")
    (example,) = load("dstc11", tmp_path / "eleven").tasks["dstc11"].examples("train")
    assert example == DialogueExample(
        task="dstc11", history=(user("An inn?"), system("The Inn."), user("Is it free?")), outputs=("Yes.",),
        knowledge=("It was free.", "Q: Wifi? A: There is."), location="",
    )  # fmt: skip
    assert example.location == f"{tmp_path / 'eleven' / 'train' / 'labels.json'}, instance 1"
    docs = {"train": {"*": {"name": None, "docs": {"23": {"title": "Pets?", "body": "No."}}}}}
    reference = {"domain": "train", "entity_id": "*", "doc_id": 23}
    write_dstc(tmp_path / "nine", labels=[{**ANSWER, "knowledge": [reference]}, {"target": False}], knowledge={})
    write_json(tmp_path / "nine" / "train" / "knowledge.json", docs)  # that of a split goes before
    assert load("dstc9", tmp_path / "nine").tasks["dstc9"].examples("train")[0].knowledge == ("Q: Pets?, A: No.",)


def answer(**fields: Any) -> list[dict[str, Any]]:
    return [{**ANSWER, **fields}, {"target": False}]


def log(*turns: Any) -> list[Any]:
    return [[*turns], LOGS[1]]


@for_cases(
    [
        {"files": {"labels": [{"target": False}]},
         "message": r"logs\.json holds 2 dialogues, .*labels\.json holds 1 labels"},
        {"files": {"labels": answer(target=1)}, "message": r"labels\.json, instance 1: .*'target' with true or false"},
        {"files": {"labels": answer(response=" ")}, "message": "instance 1: expected the field 'response' with a text"},
        {"files": {"labels": answer(knowledge=None)}, "message": "instance 1: expected the field 'knowledge' with a l"},
        {"files": {"labels": answer(knowledge=[{**SENTENCE, "sent_id": 9}])},
         "message": "snippet 1: the knowledge holds no hotel/7/reviews/0/sentences/9; '9' is missing"},
        {"files": {"labels": answer(knowledge=[SENTENCE, {**FAQ, "entity_id": 8}])}, "message": "t 2: .*'8' is m"},
        {"files": {"labels": answer(knowledge=[{**FAQ, "doc_type": "blog"}])}, "message": "unknown doc_type 'blog'"},
        {"files": {"labels": answer(knowledge=[{**FAQ, "doc_id": None}])}, "message": "the field 'doc_id', found None"},
        {"files": {"logs": log({"speaker": "X", "text": "a"})},
         "message": r"logs\.json, dialogue 1, turn 1: unknown speaker 'X'; expected 'U' or 'S'"},
        {"files": {"logs": log({"speaker": "U"})}, "message": "dialogue 1, turn 1: expected the field 'text'"},
        {"files": {"logs": log()}, "message": "dialogue 1: the dialogue has no turn"},
        {"files": {"logs": {}}, "message": r"logs\.json: expected a list, found dict"},
        {"files": {"knowledge": []}, "message": r"knowledge\.json:1: expected a JSON object, found list"},
    ]
)  # fmt: skip
def test_what_is_wrong_in_dstc_is_named_by_file_and_instance(
    tmp_path: Path, files: dict[str, Any], message: str
) -> None:
    write_dstc(tmp_path, **files)
    with pytest.raises(InputError, match=message):
        load("dstc11", tmp_path)


def test_a_missing_file_or_folder_is_named(tmp_path: Path) -> None:
    for kind, message in (("dstc11", "expected folders such as train"), ("wow", r"none of the files of wow: train\.js"),
                          ("begin", r"begin_dev_wow\.tsv"), ("messages", r"TASK/train\.jsonl")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            load(kind, tmp_path)
    write_dstc(tmp_path)
    (tmp_path / "train" / "logs.json").write_text("[\n[}")
    with pytest.raises(InputError, match=r"logs\.json:2: not valid JSON"):
        load("dstc11", tmp_path)


def wizard(speaker: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"speaker": speaker, "text": text, **fields}


def test_every_turn_of_the_wizard_is_a_response_to_the_turns_before_it(tmp_path: Path) -> None:
    dialogue = [
        wizard("0_Wizard", "Hi.", checked_sentence={"no_passages_used": "no_passages_used"}),
        wizard("1_Apprentice", "Blue?"),
        wizard("0_Wizard", "A colour.", checked_sentence={"self_Blue_0": "Blue is a colour."}),
        wizard("0_Wizard", "Bye.", checked_sentence={}),
    ]
    write_json(tmp_path / "train.json", [{"chosen_topic": "Blue", "dialog": dialogue}])
    write_json(tmp_path / "test_random_split.json", [{"dialog": dialogue[:1]}])
    write_json(tmp_path / "test_topic_split.json", [{"dialog": dialogue}])
    task = load("wow", tmp_path).tasks["wow"]
    assert [(x.history, x.knowledge, x.target) for x in task.examples("train")] == [
        ((), (), "Hi."),
        ((system("Hi."), user("Blue?")), ("Blue is a colour.",), "A colour."),
        ((system("Hi."), user("Blue?"), system("A colour.")), (), "Bye."),
    ]
    assert [len(load("wow", tmp_path, unseen=unseen).tasks["wow"].examples("test")) for unseen in (False, True)] == [
        1,
        3,
    ]
    write_json(tmp_path / "train.json", [{"dialog": [*dialogue, wizard("Witch", "Boo.")]}])
    with pytest.raises(InputError, match=r"train\.json, dialogue 1, turn 5: unknown speaker 'Witch'"):
        load("wow", tmp_path)


FAITHDIAL = [
    {"history": ["Hi.", "Yes?", "Blue?"], "knowledge": "Blue is a colour.", "response": "A colour.",
     "original_response": "Blue is mine.", "BEGIN": ["Hallucination"], "VRM": ["Disclosure"]},
    {"history": ["Red?"], "knowledge": "Red is a colour.", "response": "One.", "original_response": None,
     "BEGIN": None},
    {"history": ["Red?"], "knowledge": "Red is a colour.", "response": "One.", "original_response": "Mine.",
     "BEGIN": ["Generic"]},
]  # fmt: skip


def test_hallucinations_of_faithdial_are_the_originals_of_edited_responses(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        write_json(tmp_path / f"{split}.json", [{"utterances": FAITHDIAL[:1]}, {"utterances": FAITHDIAL[1:]}])
    examples = load("faithdial", tmp_path).tasks["faithdial"].examples("train")
    assert examples[0].history == (user("Hi."), system("Yes?"), user("Blue?"))
    assert [x.target for x in examples] == ["A colour.", "One.", "One."]
    suite = load("faithdial", tmp_path, select={"hallucinated": True})
    assert [x.target for x in suite.tasks["faithdial"].examples("train")] == ["Blue is mine."]
    counts = suite.figures["faithdial"]["train"]
    assert counts == {"of": 3, "rows": 1, "coverage": pytest.approx(2 / 3), "density": pytest.approx(4 / 3)}
    generic = load("faithdial", tmp_path, select={"labels": ["Generic"]})
    assert [x.target for x in generic.tasks["faithdial"].examples("dev")] == ["One."]
    write_json(tmp_path / "valid.json", [{"utterances": FAITHDIAL[1:2]}])
    with pytest.raises(InputError, match=r"tasks\.select\.hallucinated leaves none of the responses of the dev split"):
        load("faithdial", tmp_path, select={"hallucinated": True})


ROWS = [
    (f"Fact {n} is that it rains a lot here.", f"Is it {n}?", f"Fact {n} is that it rains.", LABELS[n % 3])
    for n in range(30)
]


def targets(suite: Suite, split: str = "train") -> list[str]:
    return [x.target for x in suite.tasks["begin-wow"].examples(split)]


def test_begin_is_split_by_messages_and_selected_by_labels(tmp_path: Path) -> None:
    write_begin(tmp_path, ROWS)
    assert targets(load("begin", tmp_path), "test") == [row[2] for row in ROWS]
    suite = load("begin", tmp_path, splits={"train": "test"}, select={"labels": ["Generic"]})
    counts = suite.figures["begin-wow"]
    assert targets(suite) == [row[2] for n, row in enumerate(ROWS) if n % 3 == 2 and n % 10 < 8]
    assert {split: (x["of"], x["rows"]) for split, x in counts.items()} == {
        "train": (24, 8),
        "dev": (3, 1),
        "test": (3, 1),
    }
    each = load("begin", tmp_path, each_label=True)
    assert {name: len(task.examples("test")) for name, task in each.tasks.items()} == {
        "begin-wow-fully-attributable": 10, "begin-wow-generic": 10, "begin-wow-not-fully-attributable": 10,
    }  # fmt: skip
    for fields, message in (
        ({"select": {"labels": ["Fully attributible"]}}, "annotated as .*Did you mean 'Fully attributable'"),
        ({"splits": {"train": "dev"}}, r"tasks\.splits\.train=dev: the task 'begin-wow' has no dev file. It has test"),
    ):
        with pytest.raises(InputError, match=message):
            load("begin", tmp_path, **fields)


@for_cases(
    [
        {"text": "knowledge\tmessage\tresponse\n", "message": r"wow\.tsv:1: the header lacks the column 'begin_label'"},
        {"text": "knowledge\tmessage\tresponse\tbegin_label\na\tb\tc\n", "message": r"tsv:2: 3 columns; the header"},
        {"text": "knowledge\tmessage\tresponse\tbegin_label\na\tb\tc\tgood", "message": "tsv:2: unknown label 'good'"},
        {"text": f"knowledge\tmessage\tresponse\tbegin_label\na\t \tc\t{LABELS[0]}\n",
         "message": r"tsv:2: the column 'message' is empty"},
    ]
)  # fmt: skip
def test_what_is_wrong_in_begin_is_named_by_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "begin_dev_wow.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        load("begin", tmp_path)


def test_swapped_knowledge_is_that_of_another_dialogue_and_the_seed_decides_which(tmp_path: Path) -> None:
    write_begin(tmp_path, [(f"Fact {n}.", f"Is it {n % 3}?", "Yes.", LABELS[0]) for n in range(24)])  # three dialogues

    def swapped(seed: int) -> list[tuple[int, int]]:
        """Numbers of the dialogues of each response and of its knowledge."""
        suite = load("begin", tmp_path, splits={"train": "test"}, select={"swap": True, "seed": seed})
        examples = suite.tasks["begin-wow"].examples("train")
        return [(int(x.history[-1].text[-2]), int(x.knowledge[0][5:-1]) % 3) for x in examples]

    assert len(swapped(0)) == 24 and swapped(0) == swapped(0) != swapped(1)
    assert all(dialogue != other for dialogue, other in swapped(0))
    write_begin(tmp_path, ROWS[:1])
    with pytest.raises(InputError, match=r"tasks\.select\.swap needs two dialogues with knowledge in the test split"):
        load("begin", tmp_path, select={"swap": True})


def test_thirds_hold_their_largest_number_and_the_lower_ones_what_is_left_over() -> None:
    thirds = Terciles.of([3, 1, 2, 5, 4, 7, 6])
    assert [thirds.third(value) for value in range(1, 8)] == [0, 0, 0, 1, 1, 2, 2]
    assert [Terciles.of([1, 1, 1, 1]).third(value) for value in (1, 2)] == [0, 2]  # ties go down


SAID = {"P": "a x c y", "Q": "a b x y z w v u", "R": "a b c d"}  # coverage 1/2, 1/4, 1; density 1/2, 1/2, 4


def write_said(folder: Path) -> None:
    rows = [("a b c d e f", f"{n}?", said, LABELS[0]) for n, said in enumerate([*SAID.values()] * 2)]
    write_begin(folder, rows, "test")
    write_begin(folder, rows[:3], "dev")


def test_abstractive_responses_have_low_density_and_no_low_coverage(tmp_path: Path) -> None:
    write_said(tmp_path)
    suite = load("begin", tmp_path, select={"abstractive": True})
    assert (targets(suite, "test"), targets(suite, "dev")) == ([SAID["P"]] * 2, [SAID["P"]])
    counts = {"of": 3, "rows": 1, "coverage": 0.5, "density": 0.5}
    assert suite.figures["begin-wow"]["dev"] == counts


def test_control_tokens_say_how_training_responses_are_and_what_is_asked_for_elsewhere(tmp_path: Path) -> None:
    write_said(tmp_path)
    suite = load("begin", tmp_path, splits={"train": "test", "dev": "dev", "test": "dev"}, control={"precision": True})
    task = suite.tasks["begin-wow"]
    assert [x.control for x in task.examples("train")] == [("<med-prec>",), ("<low-prec>",), ("<high-prec>",)] * 2
    assert {x.control for split in ("dev", "test") for x in task.examples(split)} == {("<high-prec>",)}
    assert task.form(TextOptions()).control == ("<high-prec>",)
    assert targets(suite) == [*SAID.values()] * 2


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """Folder of a random classifier of pairs of letters."""
    folder = tmp_path / "classifier"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefuvwxyz"]))
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        id2label={0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}, initializer_range=1.0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12)
        BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_entailment_is_the_likeliest_label_of_each_pair_alone(tmp_path: Path, classifier: Path) -> None:
    write_said(tmp_path)
    tokenizer = BertTokenizer.from_pretrained(classifier)
    model = BertForSequenceClassification.from_pretrained(classifier).eval()
    entailed = {
        said: bool(model(**tokenizer("a b c d e f", said, return_tensors="pt")).logits.argmax() == 2)
        for said in SAID.values()
    }
    assert set(entailed.values()) == {False, True}  # by the seed
    splits = {"train": "test", "dev": "dev"}
    fields = {"splits": splits, "classifier": str(classifier)}
    for name, expected in (("entailed", True), ("non-entailed", False)):
        suite = load("begin", tmp_path, select={"entailment": name}, **fields)
        assert targets(suite) == [said for said in [*SAID.values()] * 2 if entailed[said] == expected]
    suite = load("begin", tmp_path, control={"precision": True, "entailment": True}, **fields)
    named = [("<non-entailed>", "<entailed>")[entailed[said]] for said in SAID.values()]
    examples = suite.tasks["begin-wow"].examples
    assert [x.control[1] for x in examples("train")] == named * 2
    assert {x.control for x in examples("dev")} == {("<high-prec>", "<entailed>")}
    config = json.loads((classifier / "config.json").read_text())
    (classifier / "config.json").write_text(json.dumps({**config, "id2label": {"0": "a", "1": "b", "2": "c"}}))
    for folder, message in ((classifier, "has the labels a, b, c; expected one that is called entailment"),
                            (tmp_path / "none", "is not a folder"), (tmp_path, "tasks.classifier = ")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            load("begin", tmp_path, control={"entailment": True}, classifier=str(folder), splits=splits)


def test_chats_are_responses_of_the_assistant(tmp_path: Path) -> None:
    spoken = chat("Hi.", "Yes?", "Is it free?", "It is.", "Thanks.", knowledge="It is free.")
    spoken["messages"].insert(0, {"role": "system", "content": "Be brief."})
    write_chats(tmp_path, spoken)
    last = DialogueExample(
        task="chats", history=(user("Hi."), system("Yes?"), user("Is it free?")), knowledge=("It is free.",),
        outputs=("It is.",), instruction="Be brief.", location="",
    )  # fmt: skip
    for choice, objective, n in (("all", "chat", 1), ("last", "dialogue", 1), ("each", "dialogue", 2)):
        task = load("messages", tmp_path, targets=choice).tasks["chats"]
        examples = task.examples("train")
        assert (task.objective, len(examples), examples[-1]) == (objective, n, last)
    assert examples[0].target == "Yes?" and examples[0].history == (user("Hi."),)
    assert examples[0].location == f"{tmp_path / 'chats' / 'train.jsonl'}:1"


@for_cases(
    [
        {"line": chat("Hi."), "message": r"train\.jsonl:2: the chat has no message of the role 'assistant'"},
        {"line": {"messages": [{"role": "human", "content": "Hi."}]},
         "message": r"jsonl:2, message 1: unknown role 'human'; expected one of 'system', 'user', 'assistant'"},
        {"line": {"messages": [*chat("a", "b")["messages"], {"role": "system", "content": "c"}]},
         "message": r"jsonl:2, message 3: the role 'system' is for the first message alone"},
        {"line": chat("a", ""), "message": r"message 2: expected the field 'content' with a text, found ''"},
        {"line": {"chat": []}, "message": r"jsonl:2: expected the field 'messages' with a list"},
        {"line": chat("a", "b", knowledge=[3]), "message": r"jsonl:2: expected texts in the list 'knowledge', found 3"},
        {"line": {"messages": ["Hi."]}, "message": r"jsonl:2, message 1: expected an object, found 'Hi\.'"},
    ]
)  # fmt: skip
def test_what_is_wrong_in_a_chat_is_named_by_line_and_message(tmp_path: Path, line: Any, message: str) -> None:
    write_chats(tmp_path, chat("Hi.", "Yes?"), line)
    with pytest.raises(InputError, match=message):
        load("messages", tmp_path)


def test_a_prompt_has_one_place_for_the_knowledge(tmp_path: Path) -> None:
    for prompt in ("Use this.", "{knowledge} {knowledge}", "{knowledge} {history}"):
        with pytest.raises(ValidationError, match=r"expected one \{knowledge\}"):
            load("messages", tmp_path, prompt=prompt)
