"""Text to tokens and back, for pretrained tokenizers and for bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
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
    """What a backbone reads and writes text with."""

    pad: int
    eos: int

    def encode(self, text: str) -> list[int]:
        """Token numbers of one text, with the special tokens that the backbone expects around it."""

    def continuation(self, text: str) -> list[int]:
        """Token numbers of a text that follows another one, ended by `eos`, with no token before it."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token numbers, up to the first `eos`, without special tokens."""

    def save(self, folder: Path) -> None:
        """Write what `load` needs into `folder`."""


class ByteText:
    """UTF-8 bytes as tokens: 0 padding, 1 end, 2 start, byte b is 3 + b (as ByT5 counts them)."""

    pad, eos, n_tokens = PAD, EOS, FIRST_BYTE + 256

    def encode(self, text: str) -> list[int]:
        """The bytes of `text` and an end."""
        return self.continuation(text)

    def continuation(self, text: str) -> list[int]:
        """The bytes of `text` and an end."""
        return [FIRST_BYTE + byte for byte in text.encode()] + [EOS]

    def decode(self, ids: Sequence[int]) -> str:
        """The text up to the first end; bytes that are not UTF-8 become the replacement character."""
        kept = ids[: ids.index(EOS)] if EOS in ids else ids
        return bytes(i - FIRST_BYTE for i in kept if i >= FIRST_BYTE).decode(errors="replace")

    def save(self, folder: Path) -> None:
        """Nothing to write: bytes need no vocabulary."""


class PretrainedText:
    """A tokenizer of the transformers library."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", kind: str) -> None:
        self.tokenizer, self._kind = tokenizer, kind
        eos = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
        self.eos = int(eos)
        self.pad = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.eos)

    def encode(self, text: str) -> list[int]:
        """Token numbers with the tokenizer's own special tokens."""
        ids: list[int] = self.tokenizer(text, truncation=False, verbose=False)["input_ids"]
        return ids[:-1] if self._kind == "causal" and ids and ids[-1] == self.eos else ids

    def continuation(self, text: str) -> list[int]:
        """Token numbers without a start token, ended by `eos`."""
        if self._kind == "causal":
            text = " " + text
        ids: list[int] = self.tokenizer(text_target=text, truncation=False, add_special_tokens=False)["input_ids"]
        starts = [self.tokenizer.bos_token_id] if self._kind == "seq2seq" and _begins_with_bos(self.tokenizer) else []
        return [*starts, *ids, self.eos]

    def decode(self, ids: Sequence[int]) -> str:
        """The text up to the first end, special tokens left out."""
        kept = list(ids)
        while kept and kept[0] in (self.eos, self.pad):  # BART's decoder starts with </s>
            kept.pop(0)
        kept = kept[: kept.index(self.eos)] if self.eos in kept else kept
        return str(self.tokenizer.decode(kept, skip_special_tokens=True)).strip()

    def save(self, folder: Path) -> None:
        """The tokenizer's files."""
        self.tokenizer.save_pretrained(folder)


def _begins_with_bos(tokenizer: "PreTrainedTokenizerBase") -> bool:
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id


def padded(rows: Sequence[Sequence[int]], pad: int, left: bool = False) -> Tokens:
    """Rows of different lengths as one rectangle, padded on the right, or on the left before a continuation."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for place, row in enumerate(rows):
        span = slice(width - len(row), width) if left else slice(0, len(row))
        ids[place, span] = torch.tensor(row, dtype=torch.long)
        mask[place, span] = 1
    return Tokens(ids, mask)
