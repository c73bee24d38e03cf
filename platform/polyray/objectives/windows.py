"""Windows of a long sequence of tokens, each of which a network reads by itself."""

from collections.abc import Sequence
from typing import TypeVar

import torch

R = TypeVar("R")


def draw(rows: Sequence[R], generator: torch.Generator | None) -> R:
    """One of the rows of a long text's windows, each as likely; without a generator the first one."""
    if generator is None or len(rows) == 1:
        return rows[0]
    return rows[int(torch.randint(len(rows), (1,), generator=generator))]


def windows(n_tokens: int, room: int, overlap: int) -> tuple[tuple[int, int], ...]:
    """First and end of the windows that cover `n_tokens` tokens, the last one shorter.

    Args:
        room: tokens of a window at most, one or more.
        overlap: tokens that a window shares with the one before, fewer than `room`.
    """
    starts = range(0, max(1, n_tokens - overlap), room - overlap)
    return tuple((start, min(start + room, n_tokens)) for start in starts)
