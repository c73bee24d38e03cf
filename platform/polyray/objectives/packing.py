"""Packing: several examples in one sequence, each of which attends to itself alone."""

from collections.abc import Sequence

import torch
from torch import Tensor


def bins(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Indices of examples that share a sequence of at most `width` tokens: first fit, the longest first.

    No example is longer than `width`.
    """
    groups: list[list[int]] = []
    rooms: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        chosen = next((n for n, room in enumerate(rooms) if room >= lengths[index]), len(groups))
        if chosen == len(groups):
            groups.append([])
            rooms.append(width)
        groups[chosen].append(index)
        rooms[chosen] -= lengths[index]
    return groups


def positions_in(members: Tensor) -> Tensor:
    """Positions [P, T] of tokens within their example, from 0; members [P, T] are the numbers of the examples."""
    steps = torch.arange(members.shape[1], device=members.device).expand_as(members)
    begins = torch.ones_like(members, dtype=torch.bool)
    begins[:, 1:] = members[:, 1:] != members[:, :-1]
    return steps - steps.masked_fill(~begins, 0).cummax(1).values


def attention_within(members: Tensor, dtype: torch.dtype) -> Tensor:
    """Bias of attention scores [P, 1, T, T] with which a token sees earlier ones of its own example, and itself.

    members [P, T]: the number of the example of each token; padding has one of its own.
    """
    same = members.unsqueeze(2) == members.unsqueeze(1)  # [P, T, T]
    allowed = same & torch.ones_like(same[0]).tril()
    blocked = torch.zeros(allowed.shape, dtype=dtype, device=members.device)
    return blocked.masked_fill(~allowed, torch.finfo(dtype).min).unsqueeze(1)
