"""The suite jsonl: a user's own tasks as JSON lines, no code needed.

`PATH/TASK/train.jsonl`, `dev.jsonl` and `test.jsonl` hold one object a line: `{"input": "...", "output": "..."}`.
`output` may be a list of accepted answers, the first is the training target; `choices` may list this example's
candidates; other fields are ignored. A lone `PATH/TASK.jsonl` is split by the order of its inputs: of every ten
different ones the ninth is dev, the tenth test, the others train. `PATH/TASK/task.json` may give `category`, `metric`
and `labels`; without it the metric is ACC where every example has choices, else EM. `PATH/partition.json`, if there is
one, lists the tasks for `train`, `dev` and `test`.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.formats import entries, is_folder, is_there, read_json_lines, read_json_object
from polyray.tasks.examples import TextAnswers
from polyray.tasks.options import FolderOptions
from polyray.tasks.partition import FOLDER, arranged, partition_beside
from polyray.tasks.reading import (
    Card,
    Row,
    checked_example,
    data_folder,
    parsed_card,
    prompt_of,
)
from polyray.tasks.task import SPLITS, Suite, Task

SUFFIX = ".jsonl"
FOLD = 10  # inputs of a lone file: the ninth of ten is dev, the tenth test


def jsonl(options: FolderOptions) -> Suite:
    """The tasks in the folder `options.path`, all their files read and checked.

    Raises:
        InputError: a file is missing, empty or malformed; the message names file and line.
    """
    folder = data_folder(options.path, "jsonl")
    paths = _task_paths(folder)
    if not paths:
        raise InputError(f"{folder} holds no task; expected TASK/train.jsonl or TASK.jsonl.")
    cards = {name: _card(path) for name, path in paths.items()}
    categories = {name: card.category for name, card in cards.items()}
    build = partial(_task, paths, cards, options.prompt_name)
    return arranged("jsonl", categories, build, options, partition_beside(options, folder), labelled=options.labelled)


def _task_paths(folder: Path) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for entry in entries(folder):
        if is_folder(entry) and entry.name != FOLDER and any(is_there(_file(entry, split)) for split in SPLITS):
            name = entry.name
        elif not is_folder(entry) and entry.suffix == SUFFIX:
            name = entry.stem
        else:
            continue
        if name in paths:
            raise InputError(f"The task {name!r} is there twice: {paths[name]} and {entry}. Keep one.")
        paths[name] = entry
    return paths


def _file(path: Path, split: str) -> Path:
    return path / f"{split}{SUFFIX}"


def _card(path: Path) -> Card:
    file = path / "task.json"
    return parsed_card(read_json_object(file), str(file)) if is_folder(path) and is_there(file) else Card()


def _task(paths: Mapping[str, Path], cards: Mapping[str, Card], prompt_name: bool, name: str) -> Task:
    rows = _split_rows(paths[name])
    has_choices = all(row.choices is not None for of_split in rows.values() for row in of_split)
    card = cards[name]
    card = card.model_copy(update={"metric": card.metric or ("ACC" if card.labels or has_choices else "EM")})
    examples = {
        split: tuple(checked_example(row, name, card, prompt_name=prompt_name) for row in of_split)
        for split, of_split in rows.items()
    }
    return Task(
        name=name,
        category=card.category,
        metric=card.metric,
        labels=card.labels,
        seeds=(0,),
        read=partial(_examples_of, examples, paths[name]),
        has_choices=has_choices,
        prompt=prompt_of(name, prompt_name),
    )


def _examples_of(
    examples: Mapping[str, tuple[TextAnswers, ...]], path: Path, split: str, seed: int
) -> tuple[TextAnswers, ...]:
    if split not in examples:
        raise InputError(f"The task {path.name!r} has no split {split!r}; expected the file {_file(path, split)}.")
    return examples[split]


def _split_rows(path: Path) -> dict[str, list[Row]]:
    if is_folder(path):
        files = {split: _file(path, split) for split in SPLITS}
        return {split: _rows(file) for split, file in files.items() if is_there(file)}
    rows = _rows(path)
    order = {text: position for position, text in enumerate(dict.fromkeys(row.input for row in rows))}
    if len(order) < FOLD:
        raise InputError(
            f"{path} holds {len(order)} different inputs; a task in one file needs at least {FOLD}. "
            f"Or split it yourself: {path.stem}/train.jsonl, dev.jsonl, test.jsonl."
        )
    split_of = {FOLD - 2: "dev", FOLD - 1: "test"}
    parts: dict[str, list[Row]] = {split: [] for split in SPLITS}
    for row in rows:
        parts[split_of.get(order[row.input] % FOLD, "train")].append(row)
    return parts


def _rows(file: Path) -> list[Row]:
    return [_row(where, values) for where, values in read_json_lines(file)]


def _row(where: str, values: Mapping[str, Any]) -> Row:
    if not isinstance(values.get("input"), str):
        raise InputError(f"{where}: expected the field 'input' with a text, found {values.get('input')!r:.80}.")
    choices = _texts(values["choices"], where, "choices") if values.get("choices") is not None else None
    return Row(
        where=where, input=values["input"], outputs=_texts(values.get("output"), where, "output"), choices=choices
    )


def _texts(value: Any, where: str, field: str) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values or not all(isinstance(text, str) for text in values):
        raise InputError(f"{where}: expected the field {field!r} with a text or a list of texts, found {value!r:.80}.")
    return tuple(values)
