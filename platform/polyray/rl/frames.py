"""What the policy sees and says, and the distinct missions in it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from polyray.modules.mix import Rows

ODD = 0x4F1BBCDCBFA53E0B  # 2 ** 63 over the golden ratio: spreads what it multiplies over all bits


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """B environments over T steps, environment first; fastest where environments come in equal blocks of one task.

    image: uint8 [B, T, 7, 7, 3], as minigrid gives it (object, colour, state). mission: uint8 [B, T, L], word numbers,
    padded with 0 at the end. fresh: bool [B, T], the step is the first of its episode: memory is cleared before it.
    task: int64 [B], rows of the router. memory: hidden state and cell [B, memory] before the first step.
    """

    image: Tensor
    mission: Tensor
    fresh: Tensor
    task: Tensor
    memory: tuple[Tensor, Tensor]

    def by_row(self, rows: Rows) -> "Frames":
        """The environments brought together by row: each tensor [rows, most, ...]; `task` stays."""
        return Frames(
            image=rows.gather(self.image), mission=rows.gather(self.mission), fresh=rows.gather(self.fresh),
            task=self.task, memory=(rows.gather(self.memory[0]), rows.gather(self.memory[1])),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Outputs:
    """What the policy says: logits [B, T, actions], values [B, T], memory after the last step, [B, memory] each."""

    logits: Tensor
    values: Tensor
    memory: tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Missions:
    """The distinct missions of every row, so that each is read once.

    first: int64 [rows, most], a frame (row after row) that has the mission; short rows repeat frame 0.
    of: int64 [frames], for each frame its mission's place in the flattened [rows * most].
    """

    first: Tensor
    of: Tensor


def distinct_missions(mission: Tensor) -> Missions:
    """The distinct missions of each row: mission uint8 [rows, n, L]."""
    tokens = mission.flatten(0, 1)
    found = grouped(_keys(tokens).view(mission.shape[:2]))
    if torch.equal(tokens.index_select(0, found.first.view(-1)).index_select(0, found.of), tokens):
        return found
    _, exact = torch.unique(tokens, dim=0, return_inverse=True)  # two missions had one key
    return grouped(exact.view(mission.shape[:2]))


def grouped(keys: Tensor) -> Missions:
    """Which frames of a row have equal keys: keys int64 [rows, n], not negative and below 2 ** 40."""
    rows, n = keys.shape
    row = torch.arange(rows, device=keys.device)
    values, inverse = torch.unique((keys | (row << 40).unsqueeze(1)).view(-1), return_inverse=True)  # sorted by row
    own = values >> 40
    counts = torch.bincount(own, minlength=rows)
    most = int(counts.max())
    place = torch.arange(len(own), device=own.device) + (row * most - counts.cumsum(0) + counts)[own]
    of = place.index_select(0, inverse)
    first = torch.zeros(rows * most, dtype=torch.long, device=of.device)
    first.scatter_(0, of, torch.arange(rows * n, device=of.device))
    return Missions(first=first.view(rows, most), of=of)


def tokens_of(missions: Missions, mission: Tensor) -> Tensor:
    """The missions themselves, cut after the longest one: mission uint8 [rows, n, L] -> [rows, most, words]."""
    found = mission.flatten(0, 1)[missions.first]
    return found[..., : int((found != 0).sum(-1).max())]


def _keys(tokens: Tensor) -> Tensor:
    """int64 [frames] in [0, 2 ** 40) that are equal for equal missions and, but for rare chance, only for those.

    The mission's bytes, eight at a time, times fixed odd numbers, added up modulo 2 ** 64; of that the upper bits.
    """
    whole = torch.nn.functional.pad(tokens, (0, -tokens.shape[1] % 8)).contiguous().view(torch.int64)
    odd = (torch.arange(1, whole.shape[1] + 1, device=whole.device) * ODD) | 1
    mixed = (whole * odd).sum(1)
    return (((mixed ^ (mixed >> 29)) * ODD) >> 24) & ((1 << 40) - 1)
