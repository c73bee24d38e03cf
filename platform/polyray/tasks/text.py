"""The suite text: texts without labels, for masked language modelling.

PATH is one text file, or a folder. Each `.txt` file in it is a task (`hau.txt`), and each folder in it that holds
`.txt` files: these are `train.txt`, `dev.txt` and `test.txt`, or all together, in the order of their names, one text.
Of a text without splits the last tenth of the lines is test, the tenth before it dev. Blank lines are left out.
`PATH/partition.json`, if there is one, lists the tasks for `train`, `dev` and `test`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from polyray.errors import InputError
from polyray.formats import entries, is_folder, is_there, read_lines, user_path
from polyray.tasks.examples import RawText
from polyray.tasks.options import RawTextOptions
from polyray.tasks.partition import FOLDER, arranged, partition_beside, partition_path
from polyray.tasks.reading import data_folder
from polyray.tasks.task import SPLITS, Cached, Suite, Task

SUFFIX = ".txt"
SHARE = 10  # one of so many lines is test, and one dev, where a text has no splits


def text(options: RawTextOptions) -> Suite:
    """The tasks in the file or folder `options.path`; a text is read when it is needed.

    Raises:
        InputError: there is no text, or a file cannot be read.
    """
    path = user_path(options.path)
    alone = is_there(path) and not is_folder(path)
    folder = path.parent if alone else data_folder(options.path, "text")
    files = {path.stem: [path]} if alone else _files(folder)
    if not files:
        raise InputError(f"{folder} holds no text; expected files such as NAME{SUFFIX} or NAME/train{SUFFIX}.")
    partition = partition_path(options, folder) if alone else partition_beside(options, folder)
    return arranged("text", dict.fromkeys(files, "text"), partial(_task, files), options, partition)


def _files(folder: Path) -> dict[str, list[Path]]:
    tasks: dict[str, list[Path]] = {}
    for entry in entries(folder):
        if entry.name == FOLDER:
            continue
        files = [file for file in (entries(entry) if is_folder(entry) else [entry]) if file.suffix == SUFFIX]
        if not files:
            continue
        name = entry.name if is_folder(entry) else entry.stem
        if name in tasks:
            raise InputError(f"The task {name!r} is there twice: {tasks[name][0].parent} and {entry}. Keep one.")
        tasks[name] = files
    return tasks


def _task(files: Mapping[str, Sequence[Path]], name: str) -> Task:
    return Task(
        name=name, category="text", metric="Masked-ACC", labels=None, seeds=(0,),
        read=Cached(partial(_examples, name, files[name])), objective="masked_lm",
    )  # fmt: skip


def _examples(name: str, files: Sequence[Path], split: str, seed: int) -> tuple[RawText, ...]:
    by_split = {file.stem: file for file in files if file.stem in SPLITS}
    if not by_split:
        lines = _share([line for file in files for line in _lines(file)], split, name)
    elif split in by_split:
        lines = _lines(by_split[split])
    else:
        raise InputError(f"The task {name!r} has no split {split!r}; expected {files[0].with_name(split + SUFFIX)}.")
    return tuple(RawText(task=name, text=line) for line in lines)


def _share(lines: list[str], split: str, name: str) -> list[str]:
    """The lines of a split of a text that has none of its own."""
    held_out = len(lines) // SHARE
    if not held_out:
        raise InputError(
            f"The text {name!r} has {len(lines)} lines; one without splits needs at least {SHARE}. Or split it "
            f"yourself: {name}/train{SUFFIX}, dev{SUFFIX}, test{SUFFIX}."
        )
    spans = {
        "train": slice(len(lines) - 2 * held_out),
        "dev": slice(len(lines) - 2 * held_out, len(lines) - held_out),
        "test": slice(len(lines) - held_out, len(lines)),
    }
    return lines[spans[split]]


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in read_lines(file) if line.strip()]
