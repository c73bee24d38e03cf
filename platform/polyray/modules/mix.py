"""The weights in force for a batch, and how its examples fall into rows that share them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from polyray.errors import InputError


class Rows:
    """Rows of a mix that the examples of a batch use, and the cheapest way to bring equal rows together.

    Args:
        row_of_example: for every example its row, all in [0, n_rows).
        n_rows: rows of the mix; some may be unused.
        device: device of the index tensors.

    Raises:
        InputError: a row lies outside.
    """

    def __init__(self, row_of_example: Sequence[int], n_rows: int, device: torch.device) -> None:
        rows = tuple(row_of_example)
        if rows and not (0 <= min(rows) and max(rows) < n_rows):
            raise InputError(f"Rows must lie in 0 to {n_rows - 1}, found {min(rows)} to {max(rows)}.")
        self.row_of_example, self.n_rows, self.device = rows, n_rows, device
        self._wider: dict[int, Rows] = {}

    def __len__(self) -> int:
        return len(self.row_of_example)

    def widen(self, batch: int) -> "Rows":
        """These rows for a hidden batch of k examples each, as beam search repeats them (repeat-interleave).

        A site calls this with the size of the batch that reaches it; nothing else deals with beams.

        Raises:
            InputError: `batch` is no multiple of the number of examples.
        """
        if batch == len(self):
            return self
        times, rest = divmod(batch, len(self))
        if rest or not times:
            raise InputError(
                f"A site got {batch} rows for a mix of {len(self)} examples; expected {len(self)} or a multiple. "
                "A layer that reads what belongs to no example, as relative positions, can carry no skills."
            )
        if times not in self._wider:
            repeated = [row for row in self.row_of_example for _ in range(times)]
            self._wider[times] = Rows(repeated, self.n_rows, self.device)
        return self._wider[times]

    @cached_property
    def in_blocks(self) -> bool:
        """Whether a view is enough: every row has the same number of examples, in row order."""
        size, rest = divmod(len(self), self.n_rows)
        return not rest and self.row_of_example == tuple(row for row in range(self.n_rows) for _ in range(size))

    @cached_property
    def index(self) -> Tensor:
        """The row of each example, [batch]."""
        return self._indices(self.row_of_example)

    @cached_property
    def examples(self) -> list[Tensor]:
        """For each row the indices of its examples."""
        return [self._indices(members) for members in self._members]

    @cached_property
    def _members(self) -> list[list[int]]:
        members: list[list[int]] = [[] for _ in range(self.n_rows)]
        for example, row in enumerate(self.row_of_example):
            members[row].append(example)
        return members

    @cached_property
    def _gathered(self) -> Tensor:
        """Indices of the examples row by row, short rows filled up with the first example, [n_rows * most]."""
        most = max(map(len, self._members))
        return self._indices([i for group in self._members for i in [*group, *([0] * (most - len(group)))]])

    @cached_property
    def _scattered(self) -> Tensor:
        """The index of each example among those of `_gathered`, [batch]."""
        most = max(map(len, self._members))
        target = [0] * len(self)
        for row, group in enumerate(self._members):
            for position, example in enumerate(group):
                target[example] = row * most + position
        return self._indices(target)

    def _indices(self, numbers: Sequence[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=self.device)

    def gather(self, x: Tensor) -> Tensor:
        """The examples of `x` [batch, *rest] brought together by row: [n_rows, most, *rest], short rows padded."""
        grouped = x if self.in_blocks else x.index_select(0, self._gathered)
        return grouped.reshape(self.n_rows, len(grouped) // self.n_rows, *x.shape[1:])

    def scatter(self, y: Tensor) -> Tensor:
        """The inverse of `gather`: [n_rows, most, *rest] -> [batch, *rest]."""
        flat = y.flatten(0, 1)
        return flat if self.in_blocks else flat.index_select(0, self._scattered)


@dataclass(frozen=True, eq=False)
class Mix:
    """Weights of the skills for every example and site.

    Attributes:
        weights: [sites or 1, heads, rows, skills]; rows are the distinct mixtures of the batch.
        rows: the row of each example.
    """

    weights: Tensor
    rows: Rows

    @classmethod
    def of(cls, weights: Tensor) -> "Mix":
        """One row per example, the same at every site: weights [batch, skills].

        Raises:
            InputError: `weights` is not two-dimensional.
        """
        if weights.dim() != 2:
            raise InputError(f"A mix has the shape [batch, skills], found {list(weights.shape)}.")
        return cls(weights[None, None], Rows(range(len(weights)), len(weights), weights.device))

    def dense(self) -> Tensor:
        """Weights of each example, [batch, sites or 1, heads, skills]."""
        return self.weights.index_select(2, self.rows.index).permute(2, 0, 1, 3)


@dataclass(frozen=True, eq=False)
class TokenMix:
    """Weights that each site finds for itself, token by token, from its own input.

    Attributes:
        gates: for each site [width, skills].
        top: number of skills that a token keeps.
    """

    gates: dict[str, Tensor]
    top: int

    def weights(self, site: str, x: Tensor) -> Tensor:
        """Softmax over the `top` largest gate values, else zero: x [*batch, width] of `site` -> [*batch, skills]."""
        gates = self.gates[site]
        scores = x.to(gates.dtype) @ gates  # also where the backbone computes in bf16
        top_scores, skills = scores.topk(self.top, dim=-1)
        return torch.zeros_like(scores).scatter(-1, skills, top_scores.softmax(-1))
