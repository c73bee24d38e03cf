"""The first convolution as a sum of table rows: tiles are of few kinds, so what each adds can be looked up."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from polyray.rl.options import SIDE

OBJECTS, COLOURS, STATES = 11, 6, 4  # values of a tile's three numbers (minigrid.core.constants; doors use 3 states)
TILES = OBJECTS * COLOURS * STATES
TAPS = 9  # of a 3x3 convolution


def tile_vectors(embedding: Tensor) -> Tensor:
    """The bag of words of every possible tile: the sum of the embeddings of its object, colour and state.

    embedding [rows, OBJECTS + COLOURS + STATES, width] -> [rows, TILES, width].
    """
    objects, colours, states = embedding.split((OBJECTS, COLOURS, STATES), 1)
    summed: Tensor = objects[:, :, None, None] + colours[:, None, :, None] + states[:, None, None]
    return summed.flatten(1, 3)


def tile_numbers(image: Tensor) -> Tensor:
    """image uint8 [..., 7, 7, 3] -> int32 [..., 49], each tile's place among TILES."""
    kind, colour, state = image.flatten(-3, -2).int().unbind(-1)
    return (kind * COLOURS + colour) * STATES + state


def tap_places(stride: int, padding: int, device: torch.device) -> Tensor:
    """[positions * TAPS], which of the 49 tiles each tap of each position reads; 49 is outside the view."""
    places = torch.full((SIDE + 2 * padding,) * 2, SIDE * SIDE)
    inner = slice(padding, padding + SIDE)
    places[inner, inner] = torch.arange(SIDE * SIDE).view(SIDE, SIDE)
    windows = places.unfold(0, 3, stride).unfold(1, 3, stride)  # [side, side, 3, 3]
    return windows.reshape(-1).to(device)


def tap_table(vectors: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    """What each tile adds through each tap of a convolution: [rows, (tiles + padding) * TAPS, channels].

    vectors [rows, tiles, width], weight [rows or 1, channels, width, 3, 3], bias [rows or 1, channels]. The bias comes
    in through the first tap; with padding, the last tile is what lies outside.
    """
    rows, _, wide = vectors.shape
    channels = weight.shape[1]
    kernel = weight.permute(0, 2, 3, 4, 1).reshape(-1, wide, TAPS * channels)
    if padding:
        vectors = functional.pad(vectors, (0, 0, 0, 1))
    constant = functional.pad(bias, (0, (TAPS - 1) * channels)).unsqueeze(1)
    table = torch.baddbmm(constant.expand(rows, -1, -1), vectors, kernel.expand(rows, -1, -1))
    return table.view(rows, -1, channels)


def tap_index(numbers: Tensor, tiles: int, places: Tensor, padding: int) -> Tensor:
    """The rows of the flattened `tap_table` that each position of each frame adds up.

    numbers [rows, n, 49] -> int32 [rows * n * positions, TAPS]. tiles: how many there are, padding aside. places: of
    `tap_places`.
    """
    rows = numbers.shape[0]
    if padding:
        numbers = functional.pad(numbers, (0, 1), value=tiles)
    taken = numbers.index_select(-1, places).view(rows, -1, TAPS)
    start = torch.arange(rows, dtype=torch.int32, device=numbers.device) * (tiles + padding)
    taps = torch.arange(TAPS, dtype=torch.int32, device=numbers.device)
    return taken.add_(start.view(-1, 1, 1)).mul_(TAPS).add_(taps).view(-1, TAPS)


@dataclass(frozen=True, eq=False)
class Pairs:
    """The distinct pairs of a mission and a tile seen under it, so that each is computed once.

    missions, tiles: int64 [rows, most], each pair's mission as `Missions.of` numbers it, and its place in the flattened
    [rows * TILES]; short rows padded. numbers: int32 [rows, n, 49], each tile's pair within its row.
    """

    missions: Tensor
    tiles: Tensor
    numbers: Tensor


def distinct_pairs(numbers: Tensor, of: Tensor, n_missions: int) -> Pairs:
    """The pairs in numbers int32 [rows, n, 49] where frame number f has the mission of[f], below rows * n_missions."""
    rows, n, _ = numbers.shape
    keys = (of * TILES).view(rows, n, 1) + numbers
    present = torch.zeros(rows, n_missions * TILES, dtype=torch.bool, device=numbers.device)
    present.view(-1)[keys.view(-1)] = True
    rank = present.cumsum(1, dtype=torch.int32)
    most = int(rank[:, -1].max())
    row, found = present.nonzero().unbind(1)
    own = row * most + torch.arange(len(row), device=row.device) - (rank[:, -1].cumsum(0) - rank[:, -1])[row]
    missions, tiles = (torch.zeros(rows * most, dtype=torch.long, device=row.device) for _ in range(2))
    missions[own] = row * n_missions + found // TILES
    tiles[own] = row * TILES + found % TILES
    pair = rank.view(-1).index_select(0, keys.view(-1)).sub_(1)
    return Pairs(missions.view(rows, most), tiles.view(rows, most), pair.view(numbers.shape))


def add_up(table: Tensor, index: Tensor) -> Tensor:
    """The sums of the rows of `table` [entries, width] that each line of `index` [n, TAPS] names: [n, width]."""
    total: Tensor = _AddUp.apply(table, index)
    return total


class _AddUp(torch.autograd.Function):
    """An embedding bag whose gradient is one too: torch's own adds entry by entry, which takes many times as long."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.entries = len(table)
        return functional.embedding_bag(index, table, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, None]:
        (index,) = ctx.saved_tensors
        flat = index.view(-1)
        if ctx.entries <= torch.iinfo(torch.int16).max:
            flat = flat.short()  # sorts twice as fast
        order = flat.argsort()
        counts = torch.bincount(index.view(-1), minlength=ctx.entries)
        return functional.embedding_bag(order // TAPS, g.contiguous(), counts.cumsum(0) - counts, mode="sum"), None
