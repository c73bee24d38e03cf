"""Text to tokens and back: the interface of tokenizers, bytes as tokens, and rows of tokens side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from polyray.errors import InputError

PAD, EOS, BOS, FIRST_BYTE = 0, 1, 2, 3


@dataclass(frozen=True, eq=False)
class Tokens:
    """ids [B, T] and mask [B, T], 1 where there is text."""

    ids: Tensor
    mask: Tensor


class Text(Protocol):
    """Tokenizer of a backbone: text to token numbers and back."""

    pad: int
    eos: int

    @property
    def prefix(self) -> tuple[int, ...]:
        """Token numbers that `encode` puts before those of a text."""

    @property
    def suffix(self) -> tuple[int, ...]:
        """Token numbers that `encode` puts behind those of a text."""

    @property
    def between(self) -> tuple[int, ...]:
        """Token numbers that stand between two texts that are read together."""

    @property
    def second_segment(self) -> int:
        """The segment (token type) of the second of two texts; 0 where segments are not told apart."""

    @property
    def mask(self) -> int | None:
        """The token that stands for a masked one; None where there is no such token."""

    @property
    def mask_text(self) -> str:
        """The word for the mask in `encode_masked`; empty where there is no such token."""

    @property
    def chats(self) -> bool:
        """Whether it knows how to write the messages of a chat as one text."""

    def chat(self, messages: Sequence[Mapping[str, str]], *, unanswered: bool) -> str:
        """The text of messages with `role` and `content`; unanswered: it ends where the assistant begins to write.

        Raises:
            InputError: it cannot write them.
        """

    @property
    def special(self) -> frozenset[int]:
        """Token numbers that stand for no piece of a text."""

    @property
    def ordinary(self) -> Tensor:
        """All other token numbers."""

    def pieces(self, words: Sequence[str]) -> list[list[int]]:
        """Token numbers of each word, at least one, as if the words stood in a text; nothing is put around them."""

    def bare(self, text: str) -> list[int]:
        """Token numbers of one text alone: `encode` without `prefix` and `suffix`."""

    def with_letters(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The tokens of `bare`, and the first letter of each in the text and the end of its letters."""

    def encode(self, text: str) -> list[int]:
        """Token numbers of one text, with the special tokens that the backbone expects around it."""

    def encode_masked(self, text: str) -> list[int]:
        """As `encode`, with the mask wherever `mask_text` stands in the text."""

    def continuation(self, text: str) -> list[int]:
        """Token numbers of a text that follows another one, ended by `eos`, with no token before it."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token numbers, up to the first `eos`, without special tokens."""

    def save(self, folder: Path) -> None:
        """Write what `load` needs into `folder`."""


class ByteText:
    """UTF-8 bytes as tokens: 0 padding, 1 end, 2 start, byte b is 3 + b (as ByT5 counts them)."""

    pad, eos, n_tokens = PAD, EOS, FIRST_BYTE + 256
    mask: int | None = FIRST_BYTE + 0xFF  # a byte that UTF-8 never has
    mask_text = "<mask>"
    special = frozenset({PAD, EOS, BOS, FIRST_BYTE + 0xFF})
    ordinary = torch.arange(FIRST_BYTE, FIRST_BYTE + 0xFF)
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = (EOS,)
    between: tuple[int, ...] = (EOS,)
    second_segment = 1
    chats = False

    def chat(self, messages: Sequence[Mapping[str, str]], *, unanswered: bool) -> str:
        """Never: bytes have no chat template.

        Raises:
            InputError: always.
        """
        raise InputError("A backbone that reads bytes has no chat template.")

    def pieces(self, words: Sequence[str]) -> list[list[int]]:
        """The bytes of each word and, but for the last word, of a space behind it."""
        spaced = [f"{word} " for word in words[:-1]] + list(words[-1:])
        return [[FIRST_BYTE + byte for byte in word.encode()] for word in spaced]

    def bare(self, text: str) -> list[int]:
        """The bytes of `text`."""
        return [FIRST_BYTE + byte for byte in text.encode()]

    def with_letters(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The bytes of `text`, each with its letter."""
        letters = [(index, index + 1) for index, letter in enumerate(text) for _ in letter.encode()]
        return self.bare(text), letters

    def encode(self, text: str) -> list[int]:
        """The bytes of `text` and an end."""
        return self.continuation(text)

    def encode_masked(self, text: str) -> list[int]:
        """The bytes of `text` and an end; a mask stands for one byte."""
        first, *others = (self.continuation(piece)[:-1] for piece in text.split(self.mask_text))
        return [*first, *(number for piece in others for number in (FIRST_BYTE + 0xFF, *piece)), EOS]

    def continuation(self, text: str) -> list[int]:
        """The bytes of `text` and an end."""
        return [*self.bare(text), EOS]

    def decode(self, ids: Sequence[int]) -> str:
        """The text up to the first end; bytes that are not UTF-8 become the replacement character."""
        shown = ids[: ids.index(EOS)] if EOS in ids else ids
        return bytes(i - FIRST_BYTE for i in shown if i >= FIRST_BYTE).decode(errors="replace")

    def save(self, folder: Path) -> None:
        """Nothing to write: bytes need no vocabulary."""


def padded(rows: Sequence[Sequence[int]], pad: int, left: bool = False) -> Tokens:
    """Rows of different lengths as one rectangle, padded on the right, or on the left before a continuation."""
    width = max(map(len, rows))
    lengths = torch.tensor([len(row) for row in rows]).unsqueeze(1)
    blanks = [[pad] * (width - len(row)) for row in rows]
    lines = [[*blank, *row] if left else [*row, *blank] for row, blank in zip(rows, blanks, strict=True)]
    positions = torch.arange(width)
    mask = positions >= width - lengths if left else positions < lengths
    return Tokens(torch.tensor(lines, dtype=torch.long), mask.long())
