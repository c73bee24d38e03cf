"""One text, or two that are read together, as one sequence of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyray.backbones import Backbone
from polyray.backbones.text import padded
from polyray.objectives.objective import InputRow


@dataclass(frozen=True, kw_only=True)
class PairRow(InputRow):
    """The tokens of one text or two.

    second: index of the first token of the second text; 0: there is none.
    """

    second: int = 0


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Texts as one sequence of tokens; full: the tokens that it would have uncut."""

    ids: tuple[int, ...]
    second: int
    full: int


def joined(backbone: Backbone, texts: Sequence[str], limit: int) -> Joined:
    """The tokens of one text or two between the backbone's special tokens.

    Args:
        limit: tokens at most; of longer texts the longer one loses its last tokens first.
    """
    text = backbone.text
    pieces = [text.bare(one) for one in texts]
    between = text.between if len(pieces) == 2 else ()
    around = len(text.prefix) + len(between) + len(text.suffix)
    lengths = shares([len(piece) for piece in pieces], max(0, limit - around))
    first, *second = ([*piece[:length]] for piece, length in zip(pieces, lengths, strict=True))
    start = [*text.prefix, *first, *between]
    ids = (*start, *(token for piece in second for token in piece), *text.suffix)
    return Joined(ids=ids, second=len(start) if second else 0, full=around + sum(map(len, pieces)))


def shares(lengths: Sequence[int], room: int) -> list[int]:
    """Tokens that each of one or two texts keeps in `room` tokens: the longer one gives way until both are equal."""
    if sum(lengths) <= room:
        return list(lengths)
    if len(lengths) == 1:
        return [room]
    shorter = min(*lengths, room // 2)
    longer = room - shorter
    return [shorter, longer] if lengths[0] <= lengths[1] else [longer, shorter]


@dataclass(frozen=True, eq=False)
class PairTokens:
    """ids, mask [B, T]; segments [B, T], those of second texts, None where the backbone knows no segments."""

    ids: Tensor
    mask: Tensor
    segments: Tensor | None


def padded_pairs(backbone: Backbone, rows: Sequence[PairRow]) -> PairTokens:
    """Rows side by side, padded on the right."""
    tokens = padded([row.input for row in rows], backbone.text.pad)
    number = backbone.second_segment
    segments = torch.zeros_like(tokens.ids) if number else None
    for index, row in enumerate(rows):
        if segments is not None and row.second:
            segments[index, row.second : row.n_read] = number
    return PairTokens(tokens.ids, tokens.mask, segments)


def read_pairs(backbone: Backbone, ids: Tensor, mask: Tensor, segments: Tensor | None) -> Tensor:
    """The network's output at each token [B, T, D]."""
    types = {} if segments is None else {"token_type_ids": segments}
    hidden: Tensor = backbone.model(input_ids=ids, attention_mask=mask, **types).last_hidden_state
    return hidden
