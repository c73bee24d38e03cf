"""Text to tokens and back, for pretrained tokenizers and for bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:  # transformers takes half a second to load, and bytes need none of it
    from transformers import PreTrainedTokenizerBase

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
    def mask(self) -> int | None:
        """The token that stands for a masked one; None where there is no such token."""

    @property
    def mask_text(self) -> str:
        """The word for the mask in `encode_masked`; empty where there is no such token."""

    @property
    def special(self) -> frozenset[int]:
        """Token numbers that stand for no piece of a text."""

    @property
    def ordinary(self) -> Tensor:
        """All other token numbers."""

    def pieces(self, words: Sequence[str]) -> list[list[int]]:
        """Token numbers of each word, at least one, as if the words stood in a text; nothing is put around them."""

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

    def pieces(self, words: Sequence[str]) -> list[list[int]]:
        """The bytes of each word and, but for the last word, of a space behind it."""
        spaced = [f"{word} " for word in words[:-1]] + list(words[-1:])
        return [[FIRST_BYTE + byte for byte in word.encode()] for word in spaced]

    def encode(self, text: str) -> list[int]:
        """The bytes of `text` and an end."""
        return self.continuation(text)

    def encode_masked(self, text: str) -> list[int]:
        """The bytes of `text` and an end; a mask stands for one byte."""
        first, *others = (self.continuation(piece)[:-1] for piece in text.split(self.mask_text))
        return [*first, *(number for piece in others for number in (FIRST_BYTE + 0xFF, *piece)), EOS]

    def continuation(self, text: str) -> list[int]:
        """The bytes of `text` and an end."""
        return [FIRST_BYTE + byte for byte in text.encode()] + [EOS]

    def decode(self, ids: Sequence[int]) -> str:
        """The text up to the first end; bytes that are not UTF-8 become the replacement character."""
        shown = ids[: ids.index(EOS)] if EOS in ids else ids
        return bytes(i - FIRST_BYTE for i in shown if i >= FIRST_BYTE).decode(errors="replace")

    def save(self, folder: Path) -> None:
        """Nothing to write: bytes need no vocabulary."""


class PretrainedText:
    """A tokenizer of the transformers library."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", kind: str) -> None:
        self.tokenizer, self._kind = tokenizer, kind
        eos = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
        self.eos = int(eos)
        self.pad = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.eos)

        self.mask: int | None = tokenizer.mask_token_id
        self.mask_text = str(tokenizer.mask_token or "")
        self.special = frozenset(tokenizer.all_special_ids)

    @cached_property
    def ordinary(self) -> Tensor:
        """All token numbers but those of special tokens."""
        return torch.tensor([number for number in range(len(self.tokenizer)) if number not in self.special])

    @cached_property
    def _around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        bare: list[int] = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        whole = self.encode("a")
        start = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
        return tuple(whole[:start]), tuple(whole[start + len(bare) :])

    @property
    def prefix(self) -> tuple[int, ...]:
        """Token numbers that `encode` puts before those of a text."""
        return self._around[0]

    @property
    def suffix(self) -> tuple[int, ...]:
        """Token numbers that `encode` puts behind those of a text."""
        return self._around[1]

    def pieces(self, words: Sequence[str]) -> list[list[int]]:
        """Token numbers of each word with a space before it; a word without any is an unknown one."""
        if not words:
            return []
        unknown = self.tokenizer.unk_token_id
        rows = self.tokenizer([f" {word}" for word in words], add_special_tokens=False, verbose=False)["input_ids"]
        return [row or [self.eos if unknown is None else unknown] for row in rows]

    def encode(self, text: str) -> list[int]:
        """Token numbers with the tokenizer's own special tokens."""
        ids: list[int] = self.tokenizer(text, truncation=False, verbose=False)["input_ids"]
        return ids[:-1] if self._kind == "causal" and ids and ids[-1] == self.eos else ids

    def encode_masked(self, text: str) -> list[int]:
        """As `encode`: the tokenizer knows its mask."""
        return self.encode(text)

    def continuation(self, text: str) -> list[int]:
        """Token numbers without a start token, ended by `eos`."""
        if self._kind == "causal":
            text = " " + text
        ids: list[int] = self.tokenizer(text_target=text, truncation=False, add_special_tokens=False)["input_ids"]
        starts = [self.tokenizer.bos_token_id] if self._kind == "seq2seq" and _begins_with_bos(self.tokenizer) else []
        return [*starts, *ids, self.eos]

    def decode(self, ids: Sequence[int]) -> str:
        """The text up to the first end, special tokens left out."""
        shown = list(ids)
        while shown and shown[0] in (self.eos, self.pad):  # BART's decoder starts with </s>
            shown.pop(0)
        shown = shown[: shown.index(self.eos)] if self.eos in shown else shown
        return str(self.tokenizer.decode(shown, skip_special_tokens=True)).strip()

    def save(self, folder: Path) -> None:
        """The tokenizer's files."""
        self.tokenizer.save_pretrained(folder)


def _begins_with_bos(tokenizer: "PreTrainedTokenizerBase") -> bool:
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id


def padded(rows: Sequence[Sequence[int]], pad: int, left: bool = False) -> Tokens:
    """Rows of different lengths as one rectangle, padded on the right, or on the left before a continuation."""
    width = max(map(len, rows))
    lengths = torch.tensor([len(row) for row in rows]).unsqueeze(1)
    blanks = [[pad] * (width - len(row)) for row in rows]
    lines = [[*blank, *row] if left else [*row, *blank] for row, blank in zip(rows, blanks, strict=True)]
    positions = torch.arange(width)
    mask = positions >= width - lengths if left else positions < lengths
    return Tokens(torch.tensor(lines, dtype=torch.long), mask.long())
