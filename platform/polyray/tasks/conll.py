"""The suite conll: sequence tagging tasks in CoNLL columns.

Each folder at or below PATH that holds `train`, `dev` or `test` files (`test.txt`, `wo_wtb-ud-test.conllu`) is a task,
named after its path. A file has one word a line with its tag in another column, columns are separated by tabs or else
by spaces, a blank line ends a sentence, and a line of the word -DOCSTART- stands between documents. Where a task has
no dev or test file, the ninth or the tenth of every ten training sentences are taken for it. `PATH/partition.json`, if
there is one, lists the tasks for `train`, `dev` and `test`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from polyray.errors import InputError
from polyray.formats import read_lines
from polyray.metrics import entities
from polyray.metrics.tags import OUTSIDE
from polyray.tasks.examples import TaggedWords
from polyray.tasks.options import ColumnOptions
from polyray.tasks.partition import arranged, partition_beside
from polyray.tasks.reading import data_folder
from polyray.tasks.task import SPLITS, Suite, Task

SUFFIXES = (".conll", ".conllu", ".tsv", ".txt")
UNIVERSAL = ".conllu"  # Universal Dependencies: ten columns, comments, ranges of words, empty nodes
NO_TAG = "_"
DOCUMENT = "-DOCSTART-"
LONGEST_SENTENCE = 100_000  # words
FOLD = 10  # training sentences, of which the ninth is dev and the tenth test where these files are missing


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Columns and comments of a file's lines."""

    word: int
    tag: int
    universal: bool

    @classmethod
    def of(cls, file: Path, options: ColumnOptions) -> "Columns":
        """Columns of `options`, or the usual ones for a file of its kind."""
        universal = file.suffix == UNIVERSAL
        word, tag = (1, 3) if universal else (0, -1)
        return cls(
            word=word if options.word_column is None else options.word_column,
            tag=tag if options.tag_column is None else options.tag_column, universal=universal,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """Words and tags as they stand in a file, and the lines they stand in."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    lines: tuple[int, ...]


def conll(options: ColumnOptions) -> Suite:
    """The tasks at and below the folder `options.path`; the files of those that are taken are read and checked.

    Raises:
        InputError: a file is missing or malformed; the message names file and line.
    """
    folder = data_folder(options.path, "conll")
    files = _files(folder)
    if not files:
        raise InputError(f"{folder} holds no tagging task; expected files such as TASK/train{SUFFIXES[0]}.")
    categories = {name: _category(splits, folder, options) for name, splits in files.items()}
    build = partial(_task, files, categories, options)
    return arranged("conll", categories, build, options, partition_beside(options, folder))


def _files(folder: Path) -> dict[str, dict[str, Path]]:
    """For each task the file of each split that it has."""
    tasks: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.rglob("*")):
        split = next((split for split in SPLITS if f"-{file.stem}".endswith((f"-{split}", f"_{split}"))), None)
        parts = file.relative_to(folder).parts
        if split is None or file.suffix not in SUFFIXES or any(name.startswith(".") for name in parts):
            continue
        name = "-".join(parts[:-1]) or folder.resolve().name
        splits = tasks.setdefault(name, {})
        if split in splits:
            raise InputError(f"The {split} split of the task {name!r} is there twice: {splits[split]} and {file}.")
        splits[split] = file
    return tasks


def _category(splits: Mapping[str, Path], folder: Path, options: ColumnOptions) -> str:
    """Kind of the tags, then the folder above the task's: entities/masakhaner."""
    file = next(iter(splits.values()))
    above = file.parent.relative_to(folder).parts[:-1]
    return "/".join(("entities" if _scheme(file, options) == "iob" else "tags", *above))


def _scheme(file: Path, options: ColumnOptions) -> str:
    if options.scheme != "auto":
        return options.scheme
    return "plain" if file.suffix == UNIVERSAL else "iob"


def _task(
    files: Mapping[str, Mapping[str, Path]], categories: Mapping[str, str], options: ColumnOptions, name: str
) -> Task:
    scheme = _scheme(next(iter(files[name].values())), options)
    tagged = {split: _tagged(file, options, scheme) for split, file in files[name].items()}
    tags = {tag for sentences in tagged.values() for _, sentence in sentences for tag in sentence}
    if scheme == "iob":
        types = options.types or sorted({tag[2:] for tag in tags if tag != OUTSIDE})
        tags = {OUTSIDE, *(f"{position}-{kind}" for kind in types for position in "BI")}
    examples = {
        split: tuple(TaggedWords(task=name, words=words, tags=tags) for words, tags in sentences)
        for split, sentences in tagged.items()
    }
    return Task(
        name=name, category=categories[name], metric="Entity-F1" if scheme == "iob" else "Tag-ACC",
        labels=tuple(sorted({*tags, *(options.types if scheme == "plain" else ())})), seeds=(0,),
        read=partial(_split, _with_missing(examples), name), objective="tagging",
    )  # fmt: skip


def _split(
    examples: Mapping[str, tuple[TaggedWords, ...]], name: str, split: str, seed: int
) -> tuple[TaggedWords, ...]:
    if split not in examples:
        raise InputError(f"The task {name!r} has no {split} file.")
    return examples[split]


def _with_missing(examples: Mapping[str, tuple[TaggedWords, ...]]) -> dict[str, tuple[TaggedWords, ...]]:
    """The splits, those that are missing taken from the training sentences."""
    train = examples.get("train", ())
    missing = {
        remainder: split for remainder, split in ((FOLD - 2, "dev"), (FOLD - 1, "test")) if split not in examples
    }
    splits = {**examples, "train": tuple(x for number, x in enumerate(train) if number % FOLD not in missing)}
    splits |= {split: train[remainder::FOLD] for remainder, split in missing.items()}
    return {split: sentences for split, sentences in splits.items() if sentences}


def _tagged(file: Path, options: ColumnOptions, scheme: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Words and tags of each sentence in `file`, entities rewritten in IOB2."""
    tagged = []
    for sentence in sentences_in(file, Columns.of(file, options)):
        if scheme == "iob":
            _check_iob(file, sentence)
            tags = iob2(sentence.tags, options.types)
        else:
            _check_plain(file, sentence, options.types)
            tags = sentence.tags
        tagged.append((sentence.words, tags))
    if not tagged:
        raise InputError(f"{file} holds no sentence.")
    return tagged


def iob2(tags: Sequence[str], types: Sequence[str] = ()) -> tuple[str, ...]:
    """The tags of one sentence in IOB2: each entity begins with B-, and those of other types (empty: none) are O."""
    rewritten = [OUTSIDE] * len(tags)
    for kind, first, last in entities(tags):
        if not types or kind in types:
            rewritten[first : last + 1] = [f"B-{kind}", *[f"I-{kind}"] * (last - first)]
    return tuple(rewritten)


def _check_iob(file: Path, sentence: Sentence) -> None:
    for tag, line in zip(sentence.tags, sentence.lines, strict=True):
        if tag != OUTSIDE and not (tag.startswith(("B-", "I-")) and len(tag) > 2):
            raise InputError(
                f"{file}:{line}: {tag!r:.80} is no tag of an entity; expected O, B-TYPE or I-TYPE. Is tasks.tag_column "
                "right? Tags of another kind: tasks.scheme=plain."
            )


def _check_plain(file: Path, sentence: Sentence, types: Sequence[str]) -> None:
    for tag, line in zip(sentence.tags, sentence.lines, strict=True):
        if types and tag not in types:
            raise InputError(f"{file}:{line}: {tag!r:.80} is not among tasks.types: {', '.join(types)}.")


def sentences_in(file: Path, columns: Columns) -> Iterator[Sentence]:
    """The sentences of a file in CoNLL columns.

    Raises:
        InputError: the file cannot be read, or a line lacks one of the columns; the message names the line.
    """
    rows: list[tuple[str, str, int]] = []
    for number, line in enumerate(chain(read_lines(file), [""]), start=1):
        fields = _fields(line)
        if not fields or fields[0] == DOCUMENT:
            if rows:
                words, tags, lines = zip(*rows, strict=True)
                yield Sentence(words=words, tags=tags, lines=lines)
            rows = []
        elif not (columns.universal and _is_no_word(line, fields)):
            word, tag = _word(fields, columns, f"{file}:{number}")
            if not (columns.universal and tag == NO_TAG):
                rows.append((word, tag, number))
            if len(rows) > LONGEST_SENTENCE:
                raise InputError(
                    f"{file}:{number}: a sentence of more than {LONGEST_SENTENCE} words; a blank line ends a sentence."
                )


def _fields(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else [field for field in line.split(" ") if field]


def _is_no_word(line: str, fields: Sequence[str]) -> bool:
    """Whether a line of CoNLL-U is a comment, a range of words such as 3-4, or an empty node such as 8.1."""
    return line.startswith("#") or "-" in fields[0] or "." in fields[0]


def _word(fields: Sequence[str], columns: Columns, where: str) -> tuple[str, str]:
    try:
        word, tag = fields[columns.word].strip(), fields[columns.tag].strip()
    except IndexError:
        word = tag = ""
    if not word or not tag or len(fields) < 2:
        raise InputError(
            f"{where}: expected a word in column {columns.word} and a tag in column {columns.tag}, found {len(fields)} "
            f"{'column' if len(fields) == 1 else 'columns'}: {' '.join(fields)!r:.60}."
        )
    return word, tag
