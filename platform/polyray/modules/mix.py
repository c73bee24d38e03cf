"""The weights in force for a batch, and how its examples fall into rows that share them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from polyray.errors import InputError


class Rows:
    """Which row of a mix each example of a batch uses, and the cheapest way to bring equal rows together.

    of: for every example its row, all in [0, n_rows).
    """

    def __init__(self, of: Sequence[int], n_rows: int, device: torch.device) -> None:
        self.of = tuple(of)
        self.n_rows = n_rows
        self.device = device
        if self.of and not (0 <= min(self.of) and max(self.of) < n_rows):
            raise InputError(f"Rows must lie in 0 to {n_rows - 1}, found {min(self.of)} to {max(self.of)}.")
        self._wider: dict[int, Rows] = {}

    def __len__(self) -> int:
        return len(self.of)

    def widen(self, batch: int) -> "Rows":
        """These rows for a hidden batch of k examples each, as beam search repeats them (repeat-interleave).

        The one place that decides it: a site calls this with the batch that it is given.

        Raises:
            InputError: `batch` is no multiple of the number of examples.
        """
        if batch == len(self.of):
            return self
        times, rest = divmod(batch, len(self.of))
        if rest or not times:
            raise InputError(
                f"A site got {batch} rows for a mix of {len(self.of)} examples; expected {len(self.of)} or a multiple."
            )
        if times not in self._wider:
            of = [row for row in self.of for _ in range(times)]
            self._wider[times] = Rows(of, self.n_rows, self.device)
        return self._wider[times]

    @cached_property
    def in_blocks(self) -> bool:
        """Whether a view is enough: every row has the same number of examples, in row order."""
        size, rest = divmod(len(self.of), self.n_rows)
        return not rest and self.of == tuple(row for row in range(self.n_rows) for _ in range(size))

    @cached_property
    def index(self) -> Tensor:
        """[batch], the row of each example."""
        return torch.tensor(self.of, dtype=torch.long, device=self.device)

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor]:
        members: list[list[int]] = [[] for _ in range(self.n_rows)]
        for example, row in enumerate(self.of):
            members[row].append(example)
        size = max(len(group) for group in members)
        gather = [example for group in members for example in [*group, *([0] * (size - len(group)))]]
        back = [0] * len(self.of)
        for row, group in enumerate(members):
            for place, example in enumerate(group):
                back[example] = row * size + place
        return (
            torch.tensor(gather, dtype=torch.long, device=self.device),
            torch.tensor(back, dtype=torch.long, device=self.device),
        )

    def gather(self, x: Tensor) -> Tensor:
        """The examples of `x` [batch, *rest] brought together by row: [n_rows, most, *rest], short rows padded."""
        if self.in_blocks:
            return x.reshape(self.n_rows, len(x) // self.n_rows, *x.shape[1:])
        together = x.index_select(0, self._places[0])
        return together.view(self.n_rows, len(together) // self.n_rows, *x.shape[1:])

    def scatter(self, y: Tensor) -> Tensor:
        """The inverse of `gather`: [n_rows, most, *rest] -> [batch, *rest]."""
        flat = y.flatten(0, 1)
        return flat if self.in_blocks else flat.index_select(0, self._places[1])


@dataclass(frozen=True, eq=False)
class Mix:
    """How much of each skill every example uses at every site.

    weights: [sites or 1, heads, rows, skills]; rows are the distinct mixtures of the batch.
    rows: example -> row.
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
        """[batch, sites or 1, heads, skills], each example's own weights."""
        return self.weights.index_select(2, self.rows.index).permute(2, 0, 1, 3)


@dataclass(frozen=True, eq=False)
class TokenMix:
    """Weights that each site finds for itself, token by token, from its own input.

    gates: [sites, width, skills] for each input width; top: how many skills a token keeps.
    """

    gates: dict[str, Tensor]
    top: int

    def weights(self, site: str, x: Tensor) -> Tensor:
        """[*batch, skills] for the input x [*batch, width] of `site`: softmax over the `top` largest gate values."""
        scores = x @ self.gates[site].to(x.dtype)
        kept, places = scores.topk(self.top, dim=-1)
        return torch.zeros_like(scores).scatter(-1, places, kept.softmax(-1))
