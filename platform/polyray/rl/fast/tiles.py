"""First convolution as a sum of table rows: tiles are of few kinds, so what each adds is computed once.

In learning from a minibatch the small network takes 2.6 to 4.2 times as long with a convolution over every frame's
tiles, 7 to 15 times with a table of all tiles under all missions, and 1.15 to 1.3 times with torch's own gradient of an
embedding bag in place of `add_up`'s.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from polyray.rl.fast.missions import slots
from polyray.rl.frames import COLOURS, OBJECTS, STATES
from polyray.rl.options import SIDE

TILES = OBJECTS * COLOURS * STATES
TAPS = 9  # of a 3x3 convolution


def tile_vectors(embedding: Tensor) -> Tensor:
    """Bag of words of every possible tile: the sum of the embeddings of its object, colour and state.

    embedding [rows, OBJECTS + COLOURS + STATES, width] -> [rows, TILES, width].
    """
    objects, colours, states = embedding.split((OBJECTS, COLOURS, STATES), 1)
    summed: Tensor = objects[:, :, None, None] + colours[:, None, :, None] + states[:, None, None]
    return summed.flatten(1, 3)


def tile_numbers(image: Tensor) -> Tensor:
    """Number of each tile among TILES: image uint8 [..., 7, 7, 3] -> int32 [..., 49]."""
    kind, colour, state = image.flatten(-3, -2).int().unbind(-1)
    return (kind * COLOURS + colour) * STATES + state


@cache
def tap_tiles(stride: int, padding: int, device: torch.device) -> Tensor:
    """Tile of the view that each tap of each position reads, int64 [positions * TAPS]; 49 is outside the view."""
    padded = torch.full((SIDE + 2 * padding,) * 2, SIDE * SIDE)
    inner = slice(padding, padding + SIDE)
    padded[inner, inner] = torch.arange(SIDE * SIDE).view(SIDE, SIDE)
    windows = padded.unfold(0, 3, stride).unfold(1, 3, stride)  # [side, side, 3, 3]
    return windows.reshape(-1).to(device)


def tap_table(vectors: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    """Summand of each tile through each tap of a 3x3 convolution: [rows, (tiles + padding) * TAPS, channels].

    vectors [rows, tiles, width], weight [rows or 1, channels, width, 3, 3], bias [rows or 1, channels]. The bias comes
    in through the first tap. With padding 1 the last tile is zero and stands for all outside the view.
    """
    rows, _, width = vectors.shape
    channels = weight.shape[1]
    kernel = weight.permute(0, 2, 3, 4, 1).reshape(-1, width, TAPS * channels)
    if padding:
        vectors = functional.pad(vectors, (0, 0, 0, 1))
    constant = functional.pad(bias, (0, (TAPS - 1) * channels)).unsqueeze(1)
    table = torch.baddbmm(constant.expand(rows, -1, -1), vectors, kernel.expand(rows, -1, -1))
    return table.view(rows, -1, channels)


def tap_index(numbers: Tensor, tiles: int, stride: int, padding: int) -> Tensor:
    """Rows of the flattened `tap_table` whose sum is the convolution at each position of each frame.

    numbers int32 [rows, n, 49], each below `tiles` -> int32 [rows * n * positions, TAPS].
    """
    rows = len(numbers)
    if padding:
        numbers = functional.pad(numbers, (0, 1), value=tiles)
    seen = numbers.index_select(-1, tap_tiles(stride, padding, numbers.device)).view(rows, -1, TAPS)
    start = torch.arange(rows, dtype=torch.int32, device=numbers.device) * (tiles + padding)
    taps = torch.arange(TAPS, dtype=torch.int32, device=numbers.device)
    return seen.add_(start.view(-1, 1, 1)).mul_(TAPS).add_(taps).view(-1, TAPS)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Distinct pairs of a mission and a tile seen under it, so that each is computed once.

    missions, tiles: int64 [rows, most], each pair's index among the rows' missions and among [rows * TILES]; short rows
    are padded. numbers: int32 [rows, n, 49], each tile's pair within its row.
    """

    missions: Tensor
    tiles: Tensor
    numbers: Tensor


def distinct_pairs(numbers: Tensor, mission: Tensor, n_missions: int) -> Pairs:
    """Pairs of a mission and a tile in a batch.

    numbers int32 [rows, n, 49]; mission int64 [rows * n], each frame's, below rows * n_missions.
    """
    rows, n, _ = numbers.shape
    keys = ((mission * TILES).view(rows, n, 1) + numbers).view(-1)  # ascending with the row
    is_seen = torch.zeros(rows * n_missions * TILES, dtype=torch.bool, device=numbers.device)
    is_seen[keys] = True
    pairs = is_seen.nonzero()[:, 0]
    row = pairs // (n_missions * TILES)
    slot, most = slots(row, rows)
    missions, tiles = (torch.zeros(rows * most, dtype=torch.long, device=row.device) for _ in range(2))
    missions[slot] = pairs // TILES
    tiles[slot] = row * TILES + pairs % TILES
    rank = torch.zeros(len(is_seen), dtype=torch.int32, device=row.device)
    rank[pairs] = (slot - row * most).int()
    return Pairs(missions.view(rows, most), tiles.view(rows, most), rank.index_select(0, keys).view(numbers.shape))


def add_up(table: Tensor, index: Tensor) -> Tensor:
    """Sums of rows of a table: table [entries, width], index int32 [n, TAPS] -> [n, width]."""
    total: Tensor = _AddUp.apply(table, index)
    return total


class _AddUp(torch.autograd.Function):
    """Embedding bag whose gradient is one too: entry e sums the gradients of all bags that name it."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.entries = len(table)
        return functional.embedding_bag(index, table, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, None]:
        (index,) = ctx.saved_tensors
        is_small = ctx.entries <= torch.iinfo(torch.int16).max
        order = (index.short() if is_small else index).view(-1).argsort()  # 5 % of a step in learning
        counts = torch.bincount(index.view(-1), minlength=ctx.entries)
        return functional.embedding_bag(order // TAPS, g.contiguous(), counts.cumsum(0) - counts, mode="sum"), None
