"""Files in CoNLL-U, the format of Universal Dependencies, read strictly.

universaldependencies.org/format.html: ten columns divided by tabs, comments before the words of a sentence, lines of
ranges of words (3-4) and of empty nodes (8.1) between the words, a blank line behind each sentence.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from polyray.errors import InputError
from polyray.formats import read_lines

SUFFIX = ".conllu"
N_COLUMNS = 10
ID, FORM, UPOS, HEAD, RELATION = 0, 1, 3, 6, 7
WORD, RANGE, EMPTY = (
    re.compile(r"[1-9]\d*"),
    re.compile(r"([1-9]\d*)-([1-9]\d*)"),
    re.compile(r"(0|[1-9]\d*)\.([1-9]\d*)"),
)
PARTS_OF_SPEECH = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM",
    "VERB", "X",
)  # fmt: skip
RELATIONS = (
    "acl", "advcl", "advmod", "amod", "appos", "aux", "case", "cc", "ccomp", "clf", "compound", "conj", "cop", "csubj",
    "dep", "det", "discourse", "dislocated", "expl", "fixed", "flat", "goeswith", "iobj", "list", "mark", "nmod",
    "nsubj", "nummod", "obj", "obl", "orphan", "parataxis", "punct", "reparandum", "root", "vocative", "xcomp",
)  # fmt: skip
WordLine = tuple[int, Sequence[str]]  # its number in the file, its columns


def sentences_of(file: Path) -> Iterator[list[WordLine]]:
    """The words of each sentence, without ranges, empty nodes and comments.

    Raises:
        InputError: the file cannot be read, or a line is malformed or out of order; the message names the line.
    """
    words: list[WordLine] = []
    order = Order(file)
    for number, line in enumerate(chain(read_lines(file), [""]), start=1):
        if not line:
            if words:
                order.end(number)
                yield words
            words, order = [], Order(file)
        elif line.startswith("#") and not order.begun:
            continue
        else:
            fields = line.split("\t")
            if len(fields) != N_COLUMNS or not all(field.strip() for field in fields):
                raise InputError(
                    f"{file}:{number}: expected {N_COLUMNS} columns divided by tabs, none of them empty, found "
                    f"{len(fields)}: {line!r:.60}."
                )
            if order.is_word(fields[ID], number):
                words.append((number, fields))


class Order:
    """The numbers of the lines of a sentence: words 1, 2, ..., ranges before their first word, empty nodes behind."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._word = self._empty = self._range_end = 0
        self.begun = False

    def is_word(self, number: str, line: int) -> bool:
        """Whether the line is one of a word.

        Raises:
            InputError: its number is malformed or out of order.
        """
        self.begun = True
        if WORD.fullmatch(number):
            self._expect(int(number) == self._word + 1, number, line)
            self._word, self._empty = int(number), 0
            return True
        if match := RANGE.fullmatch(number):
            first, last = map(int, match.groups())
            self._expect(self._word + 1 == first < last and self._range_end <= self._word, number, line)
            self._range_end = last
        elif match := EMPTY.fullmatch(number):
            self._expect((int(match[1]), int(match[2])) == (self._word, self._empty + 1), number, line)
            self._empty += 1
        else:
            self._expect(False, number, line)
        return False

    def _expect(self, right: bool, number: str, line: int) -> None:
        if not right:
            following = self._word + 1
            raise InputError(
                f"{self._file}:{line}: found the number {number!r:.40}; expected the word {following}, a range "
                f"of words such as {following}-{following + 1}, or the empty node {self._word}.{self._empty + 1}. A "
                "blank line ends a sentence."
            )

    def end(self, line: int) -> None:
        """Check the end of the sentence at a blank line.

        Raises:
            InputError: a range goes beyond the last word.
        """
        if self._range_end > self._word:
            raise InputError(
                f"{self._file}:{line}: the sentence ends at the word {self._word}, inside a range of words up to "
                f"{self._range_end}."
            )
