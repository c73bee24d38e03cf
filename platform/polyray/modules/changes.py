"""Changes of one parameter: dense, sparse, low-rank."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Delta = Mapping[str, "Change"]
"""A skill as changes of named parameters."""


class Change(Protocol):
    """A change of one parameter of a backbone."""

    @property
    def n_entries(self) -> int:
        """Numbers that the change is stored as."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""

    def dense(self) -> Tensor:
        """The change in the parameter's own shape."""

    def copy_stretch(self, start: int, stop: int, stretch: Tensor) -> Tensor:
        """Write entries `start` to `stop` of the flattened change to `stretch` [stop - start], which is returned."""

    def add_to(self, parameter: Tensor) -> None:
        """Add the change to a contiguous parameter in place, rounded once; entries off a support keep their bits."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DenseChange:
    """Every entry: change [*shape]."""

    change: Tensor

    @property
    def n_entries(self) -> int:
        """Entries of the parameter."""
        return self.change.numel()

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        return tuple(self.change.shape)

    def dense(self) -> Tensor:
        """The change itself."""
        return self.change

    def copy_stretch(self, start: int, stop: int, stretch: Tensor) -> Tensor:
        """Copy the entries."""
        return stretch.copy_(self.change.reshape(-1)[start:stop])

    def add_to(self, parameter: Tensor) -> None:
        """Add the change in place."""
        parameter.add_(self.change.to(parameter.device))


@dataclass(frozen=True, eq=False, kw_only=True)
class SparseChange:
    """Some entries: values [k] at the places support [k] of the flattened parameter of `shape`."""

    values: Tensor
    support: Tensor
    shape: tuple[int, ...]

    @property
    def n_entries(self) -> int:
        """Entries of the support."""
        return self.values.numel()

    def dense(self) -> Tensor:
        """Zero off the support."""
        size = 1
        for length in self.shape:
            size *= length
        return self.values.new_zeros(size).scatter(0, self.support.long(), self.values).view(self.shape)

    def copy_stretch(self, start: int, stop: int, stretch: Tensor) -> Tensor:
        """Copy the values whose indices, which ascend, lie in the stretch; zero elsewhere."""
        first, end = torch.searchsorted(self.support, torch.tensor([start, stop], dtype=self.support.dtype)).tolist()
        index = self.support[first:end].long() - start
        return stretch.zero_().index_copy_(0, index, self.values[first:end].to(stretch.dtype))

    def add_to(self, parameter: Tensor) -> None:
        """Add the values to their entries in place."""
        flat, support = parameter.view(-1), self.support.to(parameter.device)
        flat[support] = (flat[support] + self.values.to(parameter.device)).to(parameter.dtype)


@dataclass(frozen=True, eq=False, kw_only=True)
class LowRankChange:
    """A product of two factors: scale * left right, left [rows, rank], right [rank, columns], seen as `shape`."""

    left: Tensor
    right: Tensor
    scale: float
    shape: tuple[int, ...]

    @property
    def n_entries(self) -> int:
        """Entries of both factors."""
        return self.left.numel() + self.right.numel()

    def dense(self) -> Tensor:
        """The product."""
        return (self.scale * self.left @ self.right).view(self.shape)

    def copy_stretch(self, start: int, stop: int, stretch: Tensor) -> Tensor:
        """Multiply the rows of `left` that the stretch lies in."""
        width = self.right.shape[1]
        first = start // width
        rows = (self.scale * self.left[first : -(-stop // width)] @ self.right).view(-1)
        return stretch.copy_(rows[start - first * width : stop - first * width])

    def add_to(self, parameter: Tensor) -> None:
        """Add the product in place."""
        parameter.add_(self.dense().to(parameter.device))
