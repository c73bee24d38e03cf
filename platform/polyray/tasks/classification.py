"""The suite classification: one text or two with a label, as TSV with a header or as JSON lines.

Each folder at or below PATH that holds `train`, `dev` or `test` files (`train.jsonl`) is a task, named after its path;
so is each file in folders of these names (`test/aym.tsv`). `texts` names the fields that are read, `label` that of the
label; other fields are left alone. In TSV nothing is quoted: a double quote is a character. Where a task has training
examples alone, dev and test are taken from them, every ninth and tenth of ten different first texts.
`PATH/partition.json`, if there is one, lists the tasks for `train`, `dev` and `test`.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.formats import read_json_lines, read_lines
from polyray.lookup import suggestion
from polyray.tasks.examples import LabelledTexts
from polyray.tasks.options import ClassificationOptions
from polyray.tasks.partition import arranged, partition_beside
from polyray.tasks.reading import data_folder
from polyray.tasks.splits import examples_of_split, split_files, with_missing
from polyray.tasks.task import Suite, Task, first_locations

SUFFIXES = (".tsv", ".jsonl")
Labelled = tuple[LabelledTexts, str]  # an example, and its location as FILE:LINE


def classification(options: ClassificationOptions) -> Suite:
    """The tasks at and below the folder `options.path`; the files of those that are taken are read and checked.

    Raises:
        InputError: a file is missing or malformed; the message names file and line.
    """
    folder = data_folder(options.path, "classification")
    files = split_files(folder, SUFFIXES)
    if not files:
        raise InputError(f"{folder} holds no task; expected files such as TASK/train.tsv, TASK/train.jsonl.")
    kind = "pairs" if len(options.texts) == 2 else "texts"
    build = partial(_task, files, options)
    return arranged("classification", dict.fromkeys(files, kind), build, options, partition_beside(options, folder))


def _task(files: Mapping[str, Mapping[str, Path]], options: ClassificationOptions, name: str) -> Task:
    labelled = {split: _labelled(file, options, name) for split, file in files[name].items()}
    closed = options.labels or {example.label for example, _ in labelled.get("train", ())}
    for of_split in labelled.values():
        for example, location in of_split:
            if closed and example.label not in closed:
                raise InputError(
                    f"{location}: {example.label!r:.80} is not a label of {name!r}, "
                    f"{'whose labels tasks.labels gives' if options.labels else 'no training example has it'}. "
                    f"{suggestion(example.label, closed)} tasks.relabel gives labels new names."
                )
    labels = closed or {example.label for of_split in labelled.values() for example, _ in of_split}
    splits = with_missing(labelled, group=lambda pair: pair[0].texts[0])
    examples = {split: tuple(example for example, _ in of_split) for split, of_split in splits.items()}
    locations = first_locations(
        (split, x.label, location) for split, of_split in splits.items() for x, location in of_split
    )
    return Task(
        name=name, category="pairs" if len(options.texts) == 2 else "texts", metric=options.metric,
        labels=tuple(sorted(labels)), seeds=(0,), read=partial(examples_of_split, examples, name),
        objective="classification", prompt=" ".join(f"{{{field}}}" for field in options.texts), locations=locations,
    )  # fmt: skip


def _labelled(file: Path, options: ClassificationOptions, name: str) -> list[Labelled]:
    """The examples of `file`, their labels under their new names."""
    labelled = []
    for location, fields in (_table if file.suffix == ".tsv" else read_json_lines)(file):
        texts = tuple(_text(fields, field, location, "texts") for field in options.texts)
        if not any(text.strip() for text in texts):
            raise InputError(f"{location}: nothing to read: {' and '.join(options.texts)} are blank.")
        label = _text(fields, options.label, location, "label").strip()
        if not label:
            raise InputError(f"{location}: the label is empty. Leave the line out, or give it a label.")
        labelled.append((LabelledTexts(task=name, texts=texts, label=options.relabel.get(label, label)), location))
    if not labelled:
        raise InputError(f"{file} holds no example.")
    return labelled


def _text(fields: Mapping[str, Any], name: str, location: str, option: str) -> str:
    if name not in fields:
        raise InputError(f"{location}: no field is called {name!r} (tasks.{option}). {suggestion(name, fields)}")
    value = fields[name]
    if option == "label" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # classes are often numbers
    if not isinstance(value, str):
        raise InputError(f"{location}: expected the field {name!r} with a text, found {value!r:.80}.")
    return value


def _table(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Location and columns of each line behind the header."""
    header: list[str] = []
    for number, line in enumerate(read_lines(file), start=1):
        cells = line.split("\t")
        if number == 1:
            header = cells
            if len(set(header)) < len(header):
                raise InputError(f"{file}:1: two columns have the same name: {', '.join(header)!r:.200}.")
        elif len(cells) != len(header):
            raise InputError(
                f"{file}:{number}: expected {len(header)} columns divided by tabs, as in the header, found "
                f"{len(cells)}: {line!r:.60}."
            )
        else:
            yield f"{file}:{number}", dict(zip(header, cells, strict=True))
