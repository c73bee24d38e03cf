"""Texts as tokenizers read them: line by line, and word by word as taggers do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from polyray.errors import InputError
from polyray.formats import entries, is_folder, opened, read_lines

if TYPE_CHECKING:  # transformers takes half a second to load
    from transformers import PreTrainedTokenizerBase

BATCH = 1000  # lines that are tokenized at once
PROBES_OF_BATCH, N_PROBES = 4, 64  # texts on which the outputs of two networks are compared


@dataclass(kw_only=True)
class Usage:
    """The pieces that texts use.

    numbers: of the pieces. unknown_words: normalised words that the tokenizer takes for unknown ones. probes: some of
    the texts.
    """

    numbers: set[int] = field(default_factory=set)
    unknown_words: set[str] = field(default_factory=set)
    probes: list[str] = field(default_factory=list)


def text_files(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and those called *.txt in the folders among them, all of which can be read.

    Raises:
        InputError: one cannot, or a folder holds none.
    """
    files: list[Path] = []
    for path in paths:
        of_folder = [file for file in entries(path) if file.suffix == ".txt"] if is_folder(path) else [path]
        if not of_folder:
            raise InputError(f"{path} holds no files called *.txt.")
        files += of_folder
    for file in files:
        with opened(file):
            pass
    return files


def readings(files: Sequence[Path]) -> Iterator[list[str]]:
    """All lines of the files, and behind them every word that is new, with the space before it; in batches.

    Raises:
        InputError: a file cannot be read, is empty, or has a line that is no text.
    """
    seen: set[str] = set()
    for file in files:
        lines = read_lines(file)
        while batch := list(islice(lines, BATCH)):
            words = sorted({word for line in batch for word in line.split()} - seen)
            seen |= set(words)
            yield batch
            yield [f" {word}" for word in words]


def cut(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Token numbers of each text with the tokenizer's special tokens; no texts, no numbers."""
    if not texts:
        return []
    numbers: list[list[int]] = tokenizer(list(texts), truncation=False, padding=False, verbose=False)["input_ids"]
    return numbers


def usage(tokenizer: "PreTrainedTokenizerBase", files: Sequence[Path]) -> Usage:
    """The pieces that the texts in `files` use.

    Raises:
        InputError: a file cannot be read, is empty, or has a line that is no text.
    """
    total = Usage()
    unknown = tokenizer.unk_token_id
    for batch in readings(files):
        rows = cut(tokenizer, batch)
        total.numbers.update(*rows)
        probes = [text for text, row in zip(batch, rows, strict=True) if row][:PROBES_OF_BATCH]
        total.probes += probes[: N_PROBES - len(total.probes)]
        for text, row in zip(batch, rows, strict=True):
            if unknown in row:
                total.unknown_words |= _unknown_words(tokenizer, text, int(unknown))
    return total


def _unknown_words(tokenizer: "PreTrainedTokenizerBase", text: str, unknown: int) -> set[str]:
    """The words of `text`, as the tokenizer normalises them, in which its unknown piece stands."""
    backend = tokenizer.backend_tokenizer
    normalised = text if backend.normalizer is None else backend.normalizer.normalize_str(text)
    split = backend.pre_tokenizer
    words = [normalised] if split is None else [word for word, _ in split.pre_tokenize_str(normalised)]
    return {word for word in words if unknown in {token.id for token in backend.model.tokenize(word)}}
