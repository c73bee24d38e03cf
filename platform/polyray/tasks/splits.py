"""Files of the splits of tasks in a folder, and splits that are taken from the training examples."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from polyray.errors import InputError
from polyray.tasks.task import SPLITS

E = TypeVar("E")
SPLIT_WORDS = {**{split: split for split in SPLITS}, **dict.fromkeys(("validation", "valid", "val"), "dev")}
DIVIDERS = re.compile(r"[-_.]")
FOLD = 10  # training examples, of which the ninth is dev and the tenth test where these files are missing


def split_files(folder: Path, suffixes: Sequence[str]) -> dict[str, dict[str, Path]]:
    """For each task at or below `folder` the file of each split that it has.

    A file's split is the word at the beginning or end of its name (train, dev or validation, test: `dev.txt`,
    `en_ewt-ud-test.conllu`, `train-v1.1.json`), and the folders above it name the task; or it is a folder above it
    (`test/aym.tsv`), and the other folders and the file name the task.

    Raises:
        InputError: a split of a task is there twice.
    """
    tasks: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if file.suffix not in suffixes or any(name.startswith(".") for name in parts):
            continue
        split, words = _split_and_words(parts[:-1], file.stem)
        if not split:
            continue
        splits = tasks.setdefault("-".join(words) or folder.resolve().name, {})
        if split in splits:
            name = next(name for name, files in tasks.items() if files is splits)
            raise InputError(f"The {split} split of the task {name!r} is there twice: {splits[split]} and {file}.")
        splits[split] = file
    return tasks


def _split_and_words(folders: Sequence[str], stem: str) -> tuple[str, Sequence[str]]:
    """The split of a file, empty where it is of none, and the words of its task's name."""
    words = DIVIDERS.split(stem)
    for word in (words[-1], words[0]):
        if word in SPLIT_WORDS:
            return SPLIT_WORDS[word], folders
    for index in reversed(range(len(folders))):
        if folders[index] in SPLIT_WORDS:
            return SPLIT_WORDS[folders[index]], [*folders[:index], *folders[index + 1 :], stem]
    return "", ()


def with_missing(
    examples: Mapping[str, Sequence[E]], group: Callable[[E], Any] | None = None
) -> dict[str, tuple[E, ...]]:
    """The splits; of a task without dev or test, the ninth or the tenth of every ten training examples are taken.

    Args:
        group: of an example; those of one group stay in one split, and ten groups are counted. None: each is alone.
    """
    train = examples.get("train", ())
    groups = list(range(len(train))) if group is None else [group(example) for example in train]
    number = {key: index for index, key in enumerate(dict.fromkeys(groups))}
    missing = {
        remainder: split for remainder, split in ((FOLD - 2, "dev"), (FOLD - 1, "test")) if split not in examples
    }
    parts: dict[str, list[E]] = {split: [] for split in ("train", *missing.values())}
    for key, example in zip(groups, train, strict=True):
        parts[missing.get(number[key] % FOLD, "train")].append(example)
    splits = {**examples, **parts}
    return {split: tuple(splits[split]) for split in SPLITS if splits.get(split)}


def examples_of_split(examples: Mapping[str, tuple[Any, ...]], name: str, split: str, seed: int) -> tuple[Any, ...]:
    """The examples of a split of the task called `name`; a `Task.read` of examples that are in memory.

    Raises:
        InputError: there is no such split.
    """
    if split not in examples:
        raise InputError(f"The task {name!r} has no {split} file.")
    return examples[split]
