"""Limits of lengths: texts that are too long are cut, or counted and refused."""

from collections.abc import Sequence

from polyray.backbones import Backbone
from polyray.errors import InputError
from polyray.objectives.options import TextOptions


def longest_input(backbone: Backbone, text: TextOptions) -> int:
    """Tokens of an input at most.

    Raises:
        InputError: text.max_output leaves no room for an input that is continued.
    """
    return backbone.input_limit(text.max_input, text.max_output)


def first_tokens(ids: Sequence[int], limit: int) -> list[int]:
    """The first tokens, at most `limit`; of a longer text the last one stays, which is an end or a separator."""
    return list(ids) if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]


class TooLong:
    """The examples of which tokens were cut off.

    Args:
        writes: whether answers are limited too, by text.max_output.
        splits: whether text.too_long=split would read them in pieces.
    """

    def __init__(self, backbone: Backbone, text: TextOptions, *, writes: bool = False, splits: bool = False) -> None:
        self._text, self._splits = text, splits and text.too_long != "split"
        limit = longest_input(backbone, text)
        self._by_backbone = limit < text.max_input
        answers = f" or text.max_output={text.max_output}" if writes else ""
        if self._by_backbone and backbone.continues:
            self._limits = (
                f"the {limit} tokens that the backbone {backbone.name}, which reads {backbone.reach} at most, leaves "
                f"for an input beside text.max_output={text.max_output}"
            )
        elif self._by_backbone:
            self._limits = f"{backbone.reach} tokens, the most that the backbone {backbone.name} reads,{answers}"
        else:
            self._limits = f"text.max_input={text.max_input}{answers} tokens"
        self._lengths: list[tuple[int, str]] = []

    def add(self, task: str, n_tokens: int) -> None:
        """One more example, of this task and this length."""
        self._lengths.append((n_tokens, task))

    def check(self, n_examples: int) -> None:
        """Refuse the examples, `n_examples` in all, if some are too long and may not be cut.

        Raises:
            InputError: that is so; the message counts them.
        """
        if not self._lengths or self._text.too_long == "truncate":
            return
        longest, task = max(self._lengths)
        remedy = "Choose a backbone that reads more" if self._by_backbone else "Raise the limits"
        raise InputError(
            f"{len(self._lengths)} of {n_examples} examples are longer than {self._limits} (longest: "
            f"{longest}, task {task!r}). {remedy}, or set text.too_long=truncate to cut them"
            f"{', or split to read them in pieces' if self._splits else ''}."
        )
