"""Changes of one parameter: dense, sparse, low-rank."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Delta = Mapping[str, "Change"]
"""A skill as changes of named parameters."""


class Change(Protocol):
    """A change of one parameter of a backbone."""

    @property
    def n_entries(self) -> int:
        """Numbers that the change is stored as."""

    def dense(self) -> Tensor:
        """The change in the parameter's own shape."""

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

    def dense(self) -> Tensor:
        """The change itself."""
        return self.change

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

    def add_to(self, parameter: Tensor) -> None:
        """Add the product in place."""
        parameter.add_(self.dense().to(parameter.device))
