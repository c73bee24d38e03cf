"""The suite begin: responses of models with the annotation whether the knowledge supports them (BEGIN).

Each file `begin_SPLIT_SOURCE.tsv` at or below PATH, with the columns knowledge, message, response and begin_label, is
a split of a task: begin_dev_wow.tsv that of begin-wow. There are dev and test files; tasks.splits says which of them
is to be trained on ({train: test, dev: dev}). Dziri et al. 2022 (arXiv:2105.00071).
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from polyray.errors import InputError
from polyray.formats import read_lines
from polyray.tasks.dialogue.example import DialogueExample, Turn
from polyray.tasks.dialogue.options import BeginOptions
from polyray.tasks.dialogue.record import Reader, Record
from polyray.tasks.dialogue.suites import suite_of
from polyray.tasks.reading import data_folder
from polyray.tasks.splits import SPLIT_WORDS
from polyray.tasks.task import Suite

FILE = re.compile(r"begin_([a-z]+)_(\w+)\.tsv")
COLUMNS = ("knowledge", "message", "response", "begin_label")
LABELS = ("Fully attributable", "Not fully attributable", "Generic")


def begin(options: BeginOptions) -> Suite:
    """The tasks of the files below `options.path`; with `options.each_label` one for each of the labels.

    Raises:
        InputError: a file is missing or malformed; the message names file and line.
    """
    folder = data_folder(options.path, "begin")
    tasks: dict[str, dict[str, Reader]] = {}
    for file in sorted(folder.rglob("*.tsv")):
        name = FILE.fullmatch(file.name)
        if name is None or name[1] not in SPLIT_WORDS:
            continue
        for task, labels in _tasks(file, f"begin-{name[2]}", options.each_label).items():
            tasks.setdefault(task, {})[SPLIT_WORDS[name[1]]] = partial(_records, file, labels)
    if not tasks:
        raise InputError(f"{folder} holds no data of BEGIN; expected files such as begin_dev_wow.tsv.")
    return suite_of("begin", tasks, options)


def _tasks(file: Path, name: str, each_label: bool) -> dict[str, Sequence[str]]:
    """Labels of the responses that each task of a file has."""
    if not each_label:
        return {name: LABELS}
    labels = {label for record in _records(file, LABELS, name) for label in record.labels}
    return {f"{name}-{label.lower().replace(' ', '-')}": (label,) for label in LABELS if label in labels}


def _records(file: Path, labels: Sequence[str], task: str) -> list[Record]:
    lines = enumerate(read_lines(file), start=1)
    header = next(lines)[1].split("\t")
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise InputError(f"{file}:1: the header lacks the column {missing[0]!r}. Its columns: {', '.join(header)}.")
    records = []
    for number, line in lines:
        where = f"{file}:{number}"
        cells = line.split("\t")
        if len(cells) != len(header):
            raise InputError(f"{where}: {len(cells)} columns; the header has {len(header)}.")
        row = dict(zip(header, cells, strict=True))
        if row["begin_label"] not in LABELS:
            raise InputError(f"{where}: unknown label {row['begin_label']!r:.40}; expected one of {', '.join(LABELS)}.")
        blank = next((column for column in COLUMNS if not row[column].strip()), None)
        if blank is not None:
            raise InputError(f"{where}: the column {blank!r} is empty.")
        if row["begin_label"] in labels:
            records.append(_record(row, where, task))
    return records


def _record(row: dict[str, str], where: str, task: str) -> Record:
    example = DialogueExample(
        task=task, history=(Turn(speaker="user", text=row["message"]),), knowledge=(row["knowledge"],),
        outputs=(row["response"],), location=where,
    )  # fmt: skip
    return Record(example=example, dialogue=row["message"], labels=(row["begin_label"],))
