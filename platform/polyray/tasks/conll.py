"""The suite conll: sequence tagging tasks in CoNLL columns.

Each folder at or below PATH that holds `train`, `dev` or `test` files (`test.txt`, `wo_wtb-ud-test.conllu`) is a task,
named after its path; so is each file in folders of these names (`test/hau.txt`). A file has one word a line with its
tag in another column, columns are separated by tabs or else by spaces, a blank line ends a sentence, and a line of the
word -DOCSTART- stands between documents. Entities may be tagged in IOB1, IOB2, BIOES or BILOU. Where a task has no dev
or test file, the ninth or the tenth of every ten training sentences are taken for it. `PATH/partition.json`, if there
is one, lists the tasks for `train`, `dev` and `test`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from polyray.errors import InputError
from polyray.metrics.tags import OUTSIDE
from polyray.tasks.columns import Columns, sentences_in
from polyray.tasks.conllu import PARTS_OF_SPEECH, SUFFIX, UPOS
from polyray.tasks.examples import TaggedWords
from polyray.tasks.options import ColumnOptions
from polyray.tasks.partition import arranged, partition_beside
from polyray.tasks.reading import data_folder
from polyray.tasks.schemes import entity_labels, entity_tags, single_tags
from polyray.tasks.splits import examples_of_split, split_files, with_missing
from polyray.tasks.task import Suite, Task, first_locations

SUFFIXES = (".conll", SUFFIX, ".tsv", ".txt")
Tagged = tuple[TaggedWords, tuple[int, ...]]  # a sentence, and the lines of its words


def conll(options: ColumnOptions) -> Suite:
    """The tasks at and below the folder `options.path`; the files of those that are taken are read and checked.

    Raises:
        InputError: a file is missing or malformed; the message names file and line.
    """
    folder = data_folder(options.path, "conll")
    files = split_files(folder, SUFFIXES)
    if not files:
        raise InputError(f"{folder} holds no tagging task; expected files such as TASK/train{SUFFIXES[0]}.")
    categories = {name: _category(splits, folder, options) for name, splits in files.items()}
    build = partial(_task, files, categories, options)
    return arranged("conll", categories, build, options, partition_beside(options, folder))


def _category(splits: Mapping[str, Path], folder: Path, options: ColumnOptions) -> str:
    """Kind of the tags, then the folder above the task's: entities/masakhaner."""
    file = next(iter(splits.values()))
    above = file.parent.relative_to(folder).parts[:-1]
    return "/".join(("entities" if _scheme(file, options) == "iob" else "tags", *above))


def _scheme(file: Path, options: ColumnOptions) -> str:
    if options.scheme != "auto":
        return options.scheme
    return "plain" if file.suffix == SUFFIX else "iob"


def _closed(file: Path, options: ColumnOptions) -> tuple[Sequence[str], str]:
    """The single tags that there are, empty for any, and the words for them in an error."""
    columns = Columns.of(file, options)
    if options.types or not columns.universal or columns.tag != UPOS:
        return options.types, "tasks.types"
    return PARTS_OF_SPEECH, "the universal parts of speech"


def _task(
    files: Mapping[str, Mapping[str, Path]], categories: Mapping[str, str], options: ColumnOptions, name: str
) -> Task:
    first = next(iter(files[name].values()))
    scheme = _scheme(first, options)
    tagged = with_missing({split: _tagged(file, options, scheme, name) for split, file in files[name].items()})
    labels = {tag for sentences in tagged.values() for example, _ in sentences for tag in example.tags}
    if scheme == "iob":
        labels = {*entity_labels(options.types or {tag[2:] for tag in labels if tag != OUTSIDE})}
    else:
        labels |= {*_closed(first, options)[0]}
    locations = first_locations(
        (split, tag, f"{files[name].get(split, first)}:{line}")
        for split, sentences in tagged.items()
        for example, lines in sentences
        for tag, line in zip(example.tags, lines, strict=True)
    )
    examples = {split: tuple(example for example, _ in sentences) for split, sentences in tagged.items()}
    return Task(
        name=name, category=categories[name], metric="Entity-F1" if scheme == "iob" else "Tag-ACC",
        labels=tuple(sorted(labels)), seeds=(0,), read=partial(examples_of_split, examples, name), objective="tagging",
        locations=locations,
    )  # fmt: skip


def _tagged(file: Path, options: ColumnOptions, scheme: str, name: str) -> list[Tagged]:
    """The sentences in `file`, entities rewritten in IOB2."""
    closed, noun = _closed(file, options)
    tagged = []
    for sentence in sentences_in(file, Columns.of(file, options)):
        locate = partial(_location, file, sentence.lines)
        if scheme == "iob":
            tags = entity_tags(sentence.tags, locate, options.types, options.relabel)
        else:
            tags = single_tags(sentence.tags, locate, closed, options.relabel, noun)
        tagged.append((TaggedWords(task=name, words=sentence.words, tags=tags), sentence.lines))
    if not tagged:
        raise InputError(f"{file} holds no sentence.")
    return tagged


def _location(file: Path, lines: Sequence[int], word: int) -> str:
    return f"{file}:{lines[word]}"
