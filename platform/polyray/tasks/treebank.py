"""The suite treebank: dependency parsing of treebanks in CoNLL-U.

Each folder at or below PATH that holds `train`, `dev` or `test` files (`wo_wtb-ud-test.conllu`) is a task, named after
its path; so is each file in folders of these names. Where a treebank has no dev or test file, the ninth or the tenth of
every ten training sentences are taken for it. `PATH/partition.json`, if there is one, lists the tasks for `train`,
`dev` and `test`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from polyray.errors import InputError
from polyray.tasks.conllu import FORM, HEAD, RELATION, SUFFIX, sentences_of
from polyray.tasks.examples import ParsedWords
from polyray.tasks.options import TreebankOptions
from polyray.tasks.partition import arranged, partition_beside
from polyray.tasks.reading import data_folder
from polyray.tasks.splits import examples_of_split, split_files, with_missing
from polyray.tasks.task import Suite, Task, first_locations
from polyray.tasks.trees import checked_parse, closed_relations

Parsed = tuple[ParsedWords, tuple[int, ...]]  # a sentence, and the lines of its words


def treebank(options: TreebankOptions) -> Suite:
    """The treebanks at and below the folder `options.path`; the files of those that are taken are read and checked.

    Raises:
        InputError: a file is missing or malformed, or a sentence is no tree; the message names file and line.
    """
    folder = data_folder(options.path, "treebank")
    files = split_files(folder, (SUFFIX,))
    if not files:
        raise InputError(f"{folder} holds no treebank; expected files such as UD_Wolof-WTB/wo_wtb-ud-train{SUFFIX}.")
    build = partial(_task, files, options)
    return arranged("treebank", dict.fromkeys(files, "trees"), build, options, partition_beside(options, folder))


def _task(files: Mapping[str, Mapping[str, Path]], options: TreebankOptions, name: str) -> Task:
    first = next(iter(files[name].values()))
    parsed = with_missing({split: _parsed(file, options, name) for split, file in files[name].items()})
    labels = {relation for sentences in parsed.values() for example, _ in sentences for relation in example.relations}
    locations = first_locations(
        (split, relation, f"{files[name].get(split, first)}:{line}")
        for split, sentences in parsed.items()
        for example, lines in sentences
        for relation, line in zip(example.relations, lines, strict=True)
    )
    examples = {split: tuple(example for example, _ in sentences) for split, sentences in parsed.items()}
    return Task(
        name=name, category="trees", metric=options.metric, labels=tuple(sorted({*labels, *closed_relations(options)})),
        seeds=(0,), read=partial(examples_of_split, examples, name), objective="parsing", locations=locations,
    )  # fmt: skip


def _parsed(file: Path, options: TreebankOptions, name: str) -> list[Parsed]:
    """The sentences in `file`, each of them a tree."""
    parsed = []
    for lines in sentences_of(file):
        words, heads, relations = zip(*((x[FORM], x[HEAD], x[RELATION]) for _, x in lines), strict=True)
        numbers = tuple(number for number, _ in lines)
        example = checked_parse(name, words, heads, relations, partial(_location, file, numbers), options)
        parsed.append((example, numbers))
    if not parsed:
        raise InputError(f"{file} holds no sentence.")
    return parsed


def _location(file: Path, lines: Sequence[int], word: int) -> str:
    return f"{file}:{lines[word]}"
