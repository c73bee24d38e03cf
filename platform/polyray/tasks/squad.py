"""The suite squad: questions whose answers stand in a text, as JSON in SQuAD's layout or as JSON lines.

Each folder at or below PATH that holds `train`, `dev` or `test` files (`train-v1.1.json`) is a task, named after its
path; so is each file in folders of these names (`test/xquad.el.json`). A `.json` file has articles in `data`, with
`paragraphs` of a `context` and its `qas`; a line of a `.jsonl` file is one question with `id`, `question`, `context`
and `answers`, an object of the lists `text` and `answer_start`, as the `datasets` library has it. Where a task has
training questions alone, dev and test are taken from them, every ninth and tenth of ten contexts.
Rajpurkar et al. 2016 (arXiv:1606.05250).
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.formats import parse_json_object, read_document, read_json_lines
from polyray.tasks.examples import ContextQuestion
from polyray.tasks.options import SquadOptions
from polyray.tasks.partition import arranged, partition_beside
from polyray.tasks.reading import data_folder
from polyray.tasks.splits import examples_of_split, split_files, with_missing
from polyray.tasks.task import Suite, Task

SUFFIXES = (".json", ".jsonl")
LARGEST = 2**28  # bytes of a .json file


def squad(options: SquadOptions) -> Suite:
    """The tasks at and below the folder `options.path`; the files of those that are taken are read and checked.

    Raises:
        InputError: a file is missing or malformed; the message names the file and the question or line.
    """
    folder = data_folder(options.path, "squad")
    files = split_files(folder, SUFFIXES)
    if not files:
        raise InputError(f"{folder} holds no questions; expected files such as TASK/train-v1.1.json, TASK/dev.jsonl.")
    build = partial(_task, files, options)
    return arranged("squad", dict.fromkeys(files, "questions"), build, options, partition_beside(options, folder))


def _task(files: Mapping[str, Mapping[str, Path]], options: SquadOptions, name: str) -> Task:
    questions = {split: _questions(file, name) for split, file in files[name].items()}
    examples = with_missing(questions, group=lambda example: example.context)
    return Task(
        name=name, category="questions", metric=options.metric, labels=None, seeds=(0,),
        read=partial(examples_of_split, examples, name), objective="spans", prompt="{question} {context}",
    )  # fmt: skip


def _questions(file: Path, name: str) -> list[ContextQuestion]:
    rows = _objects(file) if file.suffix == ".jsonl" else _articles(file)
    questions = [checked_question(fields, context, where, name) for where, fields, context in rows]
    if not questions:
        raise InputError(f"{file} holds no question.")
    return questions


def _objects(file: Path) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Location, fields and context of each line; answers as a list of objects."""
    for where, fields in read_json_lines(file):
        yield where, with_listed_answers(fields, where), fields.get("context")


def with_listed_answers(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields, answers {"text": [...], "answer_start": [...]} as a list of objects with one text each.

    Raises:
        InputError: there are more texts than starts, or the other way round.
    """
    answers = fields.get("answers")
    if not isinstance(answers, dict):
        return dict(fields)
    texts = _list(answers, "text", f"{where}, answers")
    starts = _list(answers, "answer_start", f"{where}, answers")
    if len(texts) != len(starts):
        raise InputError(f"{where}, answers: {len(texts)} texts have {len(starts)} starts.")
    listed = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    return {**fields, "answers": listed}


def _articles(file: Path) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Location, fields and context of each question in SQuAD's layout."""
    values = parse_json_object(read_document(file, LARGEST), file)
    for where, article in _members(values, "data", f"{file}: "):
        for inner, paragraph in _members(article, "paragraphs", f"{where}."):
            for location, question in _members(paragraph, "qas", f"{inner}."):
                yield location, question, paragraph.get("context")


def _members(values: Mapping[str, Any], field: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Location and value of each object of a list."""
    for index, member in enumerate(_list(values, field, where.rstrip(" .:"))):
        location = f"{where}{field}[{index}]"
        if not isinstance(member, dict):
            raise InputError(f"{location}: expected an object, found {member!r:.80}.")
        yield location, member


def _list(values: Mapping[str, Any], field: str, where: str) -> list[Any]:
    members = values.get(field)
    if not isinstance(members, list):
        raise InputError(f"{where}: expected the field {field!r} with a list, found {members!r:.80}.")
    return members


def checked_question(fields: Mapping[str, Any], context: Any, where: str, name: str) -> ContextQuestion:
    """The question in `fields`, with a list of answers, about `context`.

    Raises:
        InputError: a text is missing or blank, or an answer does not stand in the context where it says.
    """
    question = _text(fields.get("question"), "question", where)
    context = _text(context, "context", where)
    if fields.get("is_impossible"):
        raise InputError(f"{where}: questions without an answer (SQuAD 2.0) are none of this suite's: leave them out.")
    answers, starts = [], []
    for location, answer in _members(fields, "answers", f"{where}."):
        text, start = _text(answer.get("text"), "text", location), answer.get("answer_start")
        if not isinstance(start, int) or start < 0 or context[start : start + len(text)] != text:
            raise InputError(
                f"{location}: the answer {text!r:.80} does not stand at letter {start!r:.40} of the context. "
                "Letters are counted from 0, as Unicode characters."
            )
        answers.append(text)
        starts.append(start)
    if not answers:
        raise InputError(f"{where}: the question has no answer; leave it out.")
    identifier = str(fields.get("id", where))
    return ContextQuestion(
        task=name, id=identifier, question=question, context=context, answers=tuple(answers), starts=tuple(starts)
    )  # fmt: skip


def _text(value: Any, field: str, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: expected the field {field!r} with a text, found {value!r:.80}.")
    return value
