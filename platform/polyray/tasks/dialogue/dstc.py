"""The suites dstc9 and dstc11: task-oriented dialogues about hotels and restaurants, grounded in snippets.

`PATH/train`, `PATH/val` and `PATH/test` each hold `logs.json`, a list of dialogues up to the turn of the user that is
to be answered, and `labels.json`, a list of the same length: whether the answer needs knowledge (`target`), and if so
which snippets of `knowledge.json` (in that folder or in PATH) and the response. Answers that need none are left out.
Fields that other tracks add (`nbest`, `source`) are ignored. Kim et al. 2020 (arXiv:2006.03533); Zhao et al. 2023
(arXiv:2305.12091).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.formats import entries, is_folder, is_there, read_document
from polyray.formats import parse_json_object as parsed
from polyray.tasks.dialogue.example import DialogueExample, Speaker, Turn
from polyray.tasks.dialogue.fields import LARGEST, fields_of, json_list, objects_in, text_in
from polyray.tasks.dialogue.options import DialogueOptions
from polyray.tasks.dialogue.record import Reader, Record
from polyray.tasks.dialogue.suites import suite_of
from polyray.tasks.reading import data_folder
from polyray.tasks.splits import SPLIT_WORDS
from polyray.tasks.task import Suite

LOGS, LABELS, KNOWLEDGE = "logs.json", "labels.json", "knowledge.json"
SPEAKERS: Mapping[str, Speaker] = {"U": "user", "S": "system"}
Snippet = Callable[[Mapping[str, Any], Mapping[str, Any], str], str]  # (knowledge, reference, where)


def dstc9(options: DialogueOptions) -> Suite:
    """The task dstc9, with the questions and answers that a response refers to as its knowledge.

    Raises:
        InputError: a file is missing or malformed; the message names the file and the instance.
    """
    return _suite("dstc9", _of_docs, options)


def dstc11(options: DialogueOptions) -> Suite:
    """The task dstc11, with sentences of reviews, and questions and answers, as knowledge.

    Raises:
        InputError: a file is missing or malformed; the message names the file and the instance.
    """
    return _suite("dstc11", _of_reviews, options)


def _suite(name: str, snippet: Snippet, options: DialogueOptions) -> Suite:
    folder = data_folder(options.path, name)
    readers: dict[str, Reader] = {}
    for entry in entries(folder):
        split = SPLIT_WORDS.get(entry.name, "")
        if split and is_folder(entry) and is_there(entry / LABELS):
            inner = entry / KNOWLEDGE
            knowledge = inner if is_there(inner) else folder / KNOWLEDGE
            readers[split] = partial(_records, entry, knowledge, snippet)
    if not readers:
        raise InputError(f"{folder} holds no split; expected folders such as train, each with {LOGS} and {LABELS}.")
    return suite_of(name, {name: readers}, options)


def _records(folder: Path, knowledge_file: Path, snippet: Snippet, task: str) -> list[Record]:
    logs, labels = json_list(folder / LOGS), json_list(folder / LABELS)
    if len(logs) != len(labels):
        raise InputError(
            f"{folder / LOGS} holds {len(logs)} dialogues, {folder / LABELS} holds {len(labels)} labels; expected one "
            "for each."
        )
    knowledge = parsed(read_document(knowledge_file, LARGEST), knowledge_file)
    records = []
    for number, (log, values) in enumerate(zip(logs, labels, strict=True), start=1):
        where = f"{folder / LABELS}, instance {number}"
        label = fields_of(values, where)
        if not isinstance(label.get("target"), bool):
            raise InputError(f"{where}: expected the field 'target' with true or false, found {label.get('target')!r}.")
        if label["target"]:
            references = objects_in(label, "knowledge", where, "snippet")
            snippets = tuple(snippet(knowledge, reference, source) for source, reference in references)
            history = _turns(log, f"{folder / LOGS}, dialogue {number}")
            example = DialogueExample(
                task=task, history=history, knowledge=snippets, outputs=(text_in(label, "response", where),),
                location=where,
            )  # fmt: skip
            records.append(Record(example=example, dialogue=history[0].text))
    return records


def _turns(log: Any, where: str) -> tuple[Turn, ...]:
    turns = []
    for location, turn in objects_in({"turns": log}, "turns", where, "turn"):
        speaker = text_in(turn, "speaker", location)
        if speaker not in SPEAKERS:
            raise InputError(
                f"{location}: unknown speaker {speaker!r:.40}; expected {' or '.join(map(repr, SPEAKERS))}."
            )
        turns.append(Turn(speaker=SPEAKERS[speaker], text=text_in(turn, "text", location)))
    if not turns:
        raise InputError(f"{where}: the dialogue has no turn.")
    return tuple(turns)


def _at(knowledge: Mapping[str, Any], keys: Sequence[object], where: str) -> Any:
    """The value below these keys.

    Raises:
        InputError: there is none.
    """
    value: Any = knowledge
    for key in map(str, keys):
        if not isinstance(value, dict) or key not in value:
            raise InputError(f"{where}: the knowledge holds no {'/'.join(map(str, keys))}; {key!r} is missing.")
        value = value[key]
    return value


def _entity(reference: Mapping[str, Any], where: str) -> tuple[str, object]:
    for field in ("entity_id", "doc_id"):
        if not isinstance(reference.get(field), str | int):
            raise InputError(f"{where}: expected the field {field!r}, found {reference.get(field)!r:.40}.")
    return text_in(reference, "domain", where), reference["entity_id"]


def _of_docs(knowledge: Mapping[str, Any], reference: Mapping[str, Any], where: str) -> str:
    keys = (*_entity(reference, where), "docs", reference["doc_id"])
    doc = fields_of(_at(knowledge, keys, where), where)
    return f"Q: {text_in(doc, 'title', where)}, A: {text_in(doc, 'body', where)}"


def _of_reviews(knowledge: Mapping[str, Any], reference: Mapping[str, Any], where: str) -> str:
    entity, kind = _entity(reference, where), reference.get("doc_type")
    if kind == "review":
        keys = (*entity, "reviews", reference["doc_id"], "sentences", reference.get("sent_id"))
        return text_in({"sentence": _at(knowledge, keys, where)}, "sentence", where)
    if kind == "faq":
        doc = fields_of(_at(knowledge, (*entity, "faqs", reference["doc_id"]), where), where)
        return f"Q: {text_in(doc, 'question', where)} A: {text_in(doc, 'answer', where)}"
    raise InputError(f"{where}: unknown doc_type {kind!r:.40}; expected 'review' or 'faq'.")
