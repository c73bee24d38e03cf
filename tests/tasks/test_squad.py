"""Questions in SQuAD's layout and as JSON lines; what is wrong is named by file and question."""

import json
from pathlib import Path
from typing import Any

import pytest
from gathering import for_cases

from polyray.errors import InputError
from polyray.tasks import ContextQuestion, Suite, TasksOptions, load_suite

CONTEXT = "Čapek wrote R.U.R. in 1920.\nIt was a play."
GOOD = {"id": "q1", "question": "Who?", "answers": [{"text": "Čapek", "answer_start": 0}]}
EXAMPLE = ContextQuestion(
    task="one", id="q1", question="Who?", context=CONTEXT, answers=("Čapek",), starts=(0,)
)  # fmt: skip


def load(folder: Path, **fields: object) -> Suite:
    return load_suite(TasksOptions.model_validate({"kind": "squad", "path": str(folder), **fields}))


def write_articles(file: Path, *questions: Any, context: object = CONTEXT) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": questions}]}]}))


def test_articles_and_json_lines_give_the_same_questions(tmp_path: Path) -> None:
    write_articles(tmp_path / "one/train-v1.1.json", GOOD, {**GOOD, "is_impossible": False})
    row = {**GOOD, "context": CONTEXT, "answers": {"text": ["Čapek", "1920"], "answer_start": [0, 22]}}
    (tmp_path / "test").mkdir()
    (tmp_path / "test/xquad.cs.jsonl").write_text(json.dumps({**row, "id": 7}) + "\n")
    suite = load(tmp_path)
    assert list(suite.tasks) == ["one", "xquad.cs"]
    assert suite.tasks["one"].examples("train") == (EXAMPLE, EXAMPLE)
    (example,) = suite.tasks["xquad.cs"].examples("test")
    assert (example.id, example.answers, example.starts) == ("7", ("Čapek", "1920"), (0, 22))
    assert suite.tasks["one"].objective == "spans" and suite.tasks["one"].metric == "Span-F1"
    assert load(tmp_path, metric="Span-EM").tasks["one"].metric == "Span-EM"
    assert len(example.line.splitlines()) == 1


def changed(message: str, context: object = CONTEXT, **fields: object) -> dict[str, object]:
    return {"fields": fields, "context": context, "message": message}


def answers(*pairs: tuple[object, object]) -> list[dict[str, object]]:
    return [{"text": text, "answer_start": start} for text, start in pairs]


@for_cases(
    [
        changed(r"qas\[1\]: expected the field 'question' with a text, found 3", question=3),
        changed(r"qas\[0\]: expected the field 'context' with a text, found ' '", context=" "),
        changed(r"qas\[1\]: expected the field 'answers' with a list, found None", answers=None),
        changed(r"qas\[1\]: the question has no answer", answers=[]),
        changed(r"qas\[1\]: questions without an answer \(SQuAD 2\.0\)", is_impossible=True),
        changed(r"qas\[1\]\.answers\[1\]: the answer '1920' does not stand at letter 21 of the context",
                answers=answers(("Čapek", 0), ("1920", 21))),
        changed(r"qas\[1\]\.answers\[0\]: the answer 'Čapek' does not stand at letter '0'",
                answers=answers(("Čapek", "0"))),
        changed(r"qas\[1\]\.answers\[0\]: expected the field 'text' with a text", answers=answers(("", 0))),
        changed(r"qas\[1\]\.answers\[0\]: expected an object, found 'Čapek'", answers=["Čapek"]),
    ]
)  # fmt: skip
def test_a_question_that_is_wrong_is_named_by_its_place(
    tmp_path: Path, fields: dict[str, object], context: object, message: str
) -> None:
    write_articles(tmp_path / "one/train.json", GOOD, {**GOOD, **fields}, context=context)
    with pytest.raises(InputError, match=rf"train\.json: data\[0\]\.paragraphs\[0\]\.{message}"):
        load(tmp_path)


@for_cases(
    [
        {"name": "train.json", "text": "{}", "message": r"train\.json: expected the field 'data' with a list"},
        {"name": "train.json", "text": '{"data": [\n{]}', "message": r"train\.json:2: not valid JSON"},
        {"name": "train.json", "text": '{"data": []}', "message": r"train\.json holds no question"},
        {"name": "train.jsonl", "text": '{"question": "a", "context": "b",\n', "message": r"train\.jsonl:1: not valid"},
        {"name": "train.jsonl", "text": '\n{"question": "a"}', "message": r"train\.jsonl:1: the line is blank"},
        {
            "name": "train.jsonl",
            "text": '{"question": "a", "context": "b", "answers": {"text": ["b"], "answer_start": []}}',
            "message": r"train\.jsonl:1, answers: 1 texts have 0 starts",
        },
        {
            "name": "train.jsonl", "text": '{"question": "a", "context": "b", "answers": {"text": "b"}}',
            "message": r"train\.jsonl:1, answers: expected the field 'text' with a list",
        },
    ]
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / "one").mkdir(exist_ok=True)
    (tmp_path / "one/train.json").unlink(missing_ok=True)
    (tmp_path / "one" / name).write_text(text)
    with pytest.raises(InputError, match=message):
        load(tmp_path)


def test_a_folder_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no questions; expected files such as"):
        load(tmp_path)
