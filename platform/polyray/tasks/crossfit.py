"""The suite crossfit: few-shot text-to-text tasks as TSV files in the layout of CrossFit.

Ye et al. 2021 (arXiv:2104.08835). `{task}/{task}_{k}_{seed}_{split}.tsv` holds one example a line: input TAB output,
where a task allows it with further outputs behind further TABs. There is no header and no quoting.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from polyray.errors import InputError
from polyray.formats import entries, is_folder, is_there, read_json_object, read_lines
from polyray.lookup import nearest
from polyray.tasks.choices import inline_choices
from polyray.tasks.crossfit_metrics import CROSSFIT_METRICS
from polyray.tasks.examples import TextAnswers
from polyray.tasks.options import FolderOptions
from polyray.tasks.partition import arranged, partition_path
from polyray.tasks.reading import (
    Card,
    Row,
    checked_example,
    data_folder,
    parsed_card,
    prompt_of,
)
from polyray.tasks.task import SPLITS, Cached, Suite, Task

CLASSIFICATION_METRICS = ("ACC", "Classification-F1", "Matthew-Correlation")
SHOTS_A_CLASS = 16  # k of a classification task; other tasks have 32 examples in all

_FILE = re.compile(r"_(?P<k>\d+)_(?P<seed>\d+)_(?P<split>train|dev|test)\.tsv")


@dataclass(frozen=True, kw_only=True)
class _Folder:
    """The files of one task."""

    name: str
    files: Mapping[tuple[str, int], Path]  # (split, seed) -> file
    seeds: tuple[int, ...]
    k: int


def crossfit(options: FolderOptions) -> Suite:
    """The tasks in the CrossFit folder `options.path`.

    `tasks.json` gives each task's category, metric, labels and whether lines hold several answers. What it leaves out,
    or a folder without it: the metric is the one that CrossFit gives a task of that name (else EM), the labels of a
    classification task are the outputs in its train and dev files, and every line may hold several answers. Tasks whose
    inputs all list options with the answer among them get these as choices.

    Raises:
        InputError: the folder, its `tasks.json`, the partition or a file that must be read here is malformed.
    """
    folder = data_folder(options.path, "crossfit")
    names = [entry.name for entry in entries(folder) if is_folder(entry) and _tables(entry)]
    if not names:
        raise InputError(f"{folder} holds no CrossFit task; expected files TASK/TASK_16_100_train.tsv.")
    cards = _read_cards(folder / "tasks.json")
    for name in names:
        cards.setdefault(name, Card(metric=CROSSFIT_METRICS.get(name, "EM"), multiple_answers=True))
    categories = {name: cards[name].category for name in names}
    build = partial(_task, folder, cards, options.prompt_name)
    return arranged("crossfit", categories, build, options, partition_path(options, folder), labelled=options.labelled)


def _read_cards(file: Path) -> dict[str, Card]:
    if not is_there(file):
        return {}
    cards: dict[str, Card] = {}
    for name, values in read_json_object(file).items():
        if not isinstance(values, dict):
            raise InputError(f"{file}, {name!r}: expected an object, found {values!r:.80}.")
        fields = {field: value for field, value in values.items() if not _tells_the_source(field)}
        cards[name] = parsed_card(fields, f"{file}, {name!r}")
    return cards


def _tells_the_source(field: str) -> bool:
    """Whether a field is no property of a task, nor a slip for one: it says where the task comes from."""
    return field not in Card.model_fields and not nearest(field, Card.model_fields, similarity=0.8)


def _task(parent: Path, cards: Mapping[str, Card], prompt_name: bool, name: str) -> Task:
    folder, card = _files(parent / name), cards[name]
    card = card.model_copy(update={"metric": card.metric or CROSSFIT_METRICS.get(name, "EM")})
    labels = card.labels or _found_labels(folder, card)
    has_choices = labels is None and _lists_choices(folder, card)
    read = partial(_examples, folder, card, has_choices, prompt_name)
    return Task(
        name=name,
        category=card.category,
        metric=card.metric,
        labels=labels,
        seeds=folder.seeds,
        read=Cached(read),
        has_choices=has_choices,
        prompt=prompt_of(name, prompt_name),
        inline_choices=has_choices,
    )


def _tables(folder: Path) -> list[Path]:
    start = f"{folder.name}_"
    return [file for file in entries(folder) if file.name.startswith(start) and file.suffix == ".tsv"]


def _files(folder: Path) -> _Folder:
    name = folder.name
    files: dict[tuple[str, int], Path] = {}
    shots: set[int] = set()
    for file in _tables(folder):
        match = _FILE.fullmatch(file.name.removeprefix(name))
        if match is None:
            raise InputError(f"{file}: expected a name such as {name}_16_100_train.tsv.")
        files[match["split"], int(match["seed"])] = file
        shots.add(int(match["k"]))
    if len(shots) > 1:
        raise InputError(f"{folder} mixes files of k = {' and '.join(map(str, sorted(shots)))}; keep one k a task.")
    seeds = tuple(sorted({seed for _, seed in files}, key=str))  # 100, 13, 21, ...: the order of CrossFit
    k = shots.pop()
    for seed in seeds:
        for split in SPLITS:
            if (split, seed) not in files:
                raise InputError(f"{folder} lacks {name}_{k}_{seed}_{split}.tsv.")
    return _Folder(name=name, files=files, seeds=seeds, k=k)


def _rows(file: Path, card: Card) -> Iterator[Row]:
    for position, line in enumerate(read_lines(file), start=1):
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) < 2 or (len(columns) > 2 and not card.multiple_answers):
            expected = "input TAB output" + (" (TAB output ...)" if card.multiple_answers else "")
            plural = "column" if len(columns) == 1 else "columns"
            raise InputError(f"{file}:{position}: found {len(columns)} {plural}, expected {expected}.")
        yield Row(where=f"{file}:{position}", input=columns[0], outputs=tuple(columns[1:]))


def _found_labels(folder: _Folder, card: Card) -> tuple[str, ...] | None:
    if folder.k != SHOTS_A_CLASS or card.metric not in CLASSIFICATION_METRICS:
        return None
    files = [file for (split, _), file in folder.files.items() if split != "test"]
    return tuple(sorted({row.outputs[0] for file in files for row in _rows(file, card)}))


def _lists_choices(folder: _Folder, card: Card) -> bool:
    """Whether every example lists options with its answer among them; reads on only while that holds."""
    ordered = [folder.files[split, seed] for split in SPLITS for seed in folder.seeds]
    return all(row.outputs[0] in (inline_choices(row.input) or ()) for file in ordered for row in _rows(file, card))


def _examples(
    folder: _Folder, card: Card, has_choices: bool, prompt_name: bool, split: str, seed: int
) -> tuple[TextAnswers, ...]:
    rows = _rows(folder.files[split, seed], card)
    if has_choices:
        rows = (replace(row, choices=inline_choices(row.input)) for row in rows)
    return tuple(checked_example(row, folder.name, card, prompt_name=prompt_name) for row in rows)
