"""Text to tokens and back with a tokenizer of the transformers library."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyray.errors import InputError

if TYPE_CHECKING:  # transformers takes half a second to load, and bytes need none of it
    from transformers import PreTrainedTokenizerBase


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
        self.chats = tokenizer.chat_template is not None

    def chat(self, messages: Sequence[Mapping[str, str]], *, unanswered: bool) -> str:
        """The text of messages in the tokenizer's chat template.

        Raises:
            InputError: the template refuses them; the message gives its reason.
        """
        from jinja2 import TemplateError  # transformers loads it with the first template

        try:
            text = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages], tokenize=False, add_generation_prompt=unanswered
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise InputError(
                f"The chat template of the backbone's tokenizer refuses messages of the roles {roles}: {error}. Set "
                "text.layout=markers to do without it."
            ) from None
        return str(text)

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

    @cached_property
    def _pair(self) -> tuple[tuple[int, ...], int]:
        """Token numbers between two texts, and the segment of the second one.

        Raises:
            InputError: the tokenizer does not put around two texts what it puts around one.
        """
        bare = self.bare("a")
        whole = self.tokenizer("a", "a", return_token_type_ids=True)
        ids: list[int] = whole["input_ids"]
        first, second = len(self.prefix) + len(bare), len(ids) - len(self.suffix) - len(bare)
        expected = [*self.prefix, *bare, *ids[first:second], *bare, *self.suffix]
        if not 0 < first < second or ids != expected:
            raise InputError(
                "The tokenizer of this backbone has no way to join two texts: it puts nothing between them."
            )
        has_types = "token_type_ids" in self.tokenizer.model_input_names
        return tuple(ids[first:second]), whole["token_type_ids"][second] if has_types else 0

    @property
    def between(self) -> tuple[int, ...]:
        """Token numbers that the tokenizer puts between two texts."""
        return self._pair[0]

    @property
    def second_segment(self) -> int:
        """The token type of the second of two texts."""
        return self._pair[1]

    def bare(self, text: str) -> list[int]:
        """Token numbers without special tokens."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return ids

    def with_letters(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The tokens of `bare` with their letters.

        Raises:
            InputError: the tokenizer is one of the slow ones, which do not know the letters.
        """
        if not self.tokenizer.is_fast:
            raise InputError(
                "The tokenizer of this backbone does not say where a token stands in a text (not a fast one)."
            )
        read = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        return read["input_ids"], read["offset_mapping"]

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
