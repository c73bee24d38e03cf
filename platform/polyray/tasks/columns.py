"""Sentences in CoNLL columns: one word a line with its tag in another column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from polyray.errors import InputError
from polyray.formats import read_lines
from polyray.tasks import conllu
from polyray.tasks.options import ColumnOptions

NO_TAG = "_"
DOCUMENT = "-DOCSTART-"
LONGEST_SENTENCE = 100_000  # words


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Columns of a file's words and tags, and whether it is in CoNLL-U."""

    word: int
    tag: int
    universal: bool

    @classmethod
    def of(cls, file: Path, options: ColumnOptions) -> "Columns":
        """Columns of `options`, or the usual ones for a file of its kind."""
        universal = file.suffix == conllu.SUFFIX
        word, tag = (conllu.FORM, conllu.UPOS) if universal else (0, -1)
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


def sentences_in(file: Path, columns: Columns) -> Iterator[Sentence]:
    """The sentences of a file in CoNLL columns; in CoNLL-U words without a tag (_) are left out.

    Raises:
        InputError: the file cannot be read, or a line lacks one of the columns; the message names the line.
    """
    for lines in conllu.sentences_of(file) if columns.universal else _blocks(file):
        rows = [(*_word(fields, columns, f"{file}:{number}"), number) for number, fields in lines]
        if columns.universal:
            rows = [row for row in rows if row[1] != NO_TAG]
        if rows:
            words, tags, numbers = zip(*rows, strict=True)
            yield Sentence(words=words, tags=tags, lines=numbers)


def _blocks(file: Path) -> Iterator[list[conllu.WordLine]]:
    """The lines of each sentence, which ends at a blank line or where a document begins."""
    block: list[conllu.WordLine] = []
    for number, line in enumerate(chain(read_lines(file), [""]), start=1):
        fields = line.split("\t") if "\t" in line else [field for field in line.split(" ") if field]
        if not fields or fields[0] == DOCUMENT:
            if block:
                yield block
            block = []
        else:
            block.append((number, fields))
            if len(block) > LONGEST_SENTENCE:
                raise InputError(
                    f"{file}:{number}: a sentence of more than {LONGEST_SENTENCE} words; a blank line ends a sentence."
                )


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
