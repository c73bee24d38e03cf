"""Which tasks a suite takes, and which of them are for training, development and test."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.formats import is_file, is_there, read_json_object, user_path
from polyray.lookup import lookup, suggestion
from polyray.tasks.options import SelectionOptions
from polyray.tasks.task import SPLITS, Suite, Task

FOLDER = "custom_tasks_splits"
PARTITION = "partition.json"


def arranged(
    name: str,
    categories: Mapping[str, str],
    build: Callable[[str], Task],
    options: SelectionOptions,
    partition_file: Path | None,
    *,
    labelled: bool = False,
) -> Suite:
    """The suite of the tasks that `options` selects, built in the order of the partition.

    Args:
        name: of the suite.
        categories: the category of every task there is.
        build: makes one task of its name.
        options: which tasks to take.
        partition_file: None puts all tasks into train.
        labelled: leave out tasks without a closed set of answers.

    Raises:
        InputError: the partition names a missing task, a pattern matches nothing, or no task is left.
    """
    if not categories:
        raise InputError(f"The suite {name!r} holds no task.")
    partition = _read_partition(partition_file, categories) if partition_file else {"train": tuple(sorted(categories))}
    listed = [task for split in SPLITS for task in partition.get(split, ())]
    chosen = _included(listed, categories, options.include)
    tasks = {task: build(task) for task in listed if task in chosen}
    if labelled:
        tasks = {task: built for task, built in tasks.items() if built.rankable}
        if not tasks:
            raise InputError(
                f"tasks.labelled leaves no task: none of {', '.join(sorted(chosen))} has labels or choices."
            )
    parts = {split: tuple(task for task in partition.get(split, ()) if task in tasks) for split in SPLITS}
    return Suite(name=name, tasks=tasks, partition=parts)


def partition_path(options: SelectionOptions, folder: Path | None) -> Path | None:
    """The file that `options.partition` means: a JSON file or a name in FOLDER of `folder`; None if it is empty.

    Raises:
        InputError: there is no such file; the message gives the nearest name.
    """
    if not options.partition:
        return None
    file = user_path(options.partition)
    if options.partition.endswith(".json"):
        if not is_file(file):
            raise InputError(f"tasks.partition = {options.partition!r:.200} is not a file.")
        return file
    partitions = {} if folder is None else {entry.stem: entry for entry in sorted((folder / FOLDER).glob("*.json"))}
    return lookup(partitions, options.partition, "partition")


def partition_beside(options: SelectionOptions, folder: Path) -> Path | None:
    """The file that `options.partition` means; where it is empty `folder`/partition.json, if there is one.

    Raises:
        InputError: there is no such file.
    """
    chosen = partition_path(options, folder)
    beside = folder / PARTITION
    return beside if chosen is None and is_there(beside) else chosen


def _read_partition(file: Path, categories: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    values = read_json_object(file)
    partition: dict[str, tuple[str, ...]] = {}
    seen: dict[str, str] = {}
    for split, names in values.items():
        if split == "all":  # CrossFit's random.json repeats all tasks here
            continue
        lookup(dict.fromkeys(SPLITS), split, f"list of the partition {file}")
        partition[split] = tuple(_names(names, f"{file}, {split!r}"))
        for task in partition[split]:
            if task not in categories:
                raise InputError(f"{file}, {split!r}: there is no task {task!r:.80}. {suggestion(task, categories)}")
            if task in seen:
                raise InputError(f"{file}: the task {task!r:.80} is in {seen[task]!r} and again in {split!r}.")
            seen[task] = split
    if not seen:
        raise InputError(f"{file} names no task; expected lists of tasks as {', '.join(map(repr, SPLITS))}.")
    return partition


def _names(names: Any, where: str) -> Sequence[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{where}: expected a list of task names, found {names!r:.80}.")
    return names


def _included(listed: Sequence[str], categories: Mapping[str, str], patterns: Sequence[str]) -> set[str]:
    if not patterns:
        return set(listed)
    chosen: set[str] = set()
    for pattern in patterns:
        matched = {task for task in listed if fnmatchcase(task, pattern) or fnmatchcase(categories[task], pattern)}
        if not matched:
            names = {*listed, *(categories[task] for task in listed if categories[task])}
            raise InputError(
                f"tasks.include: {pattern!r} matches no task and no category. {suggestion(pattern, names)}"
            )
        chosen |= matched
    return chosen
