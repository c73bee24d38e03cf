"""Candidates: entries of a parameter that are not trained, with their accumulated gradients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyray.sparsity import keep_largest
from polyray.training.gathering import add_dense, add_rows, row_starts

Pair = tuple[Tensor, Tensor]
"""Indices [c] and gradients [c]."""


@dataclass(eq=False, kw_only=True)
class Candidates:
    """The c candidates of one parameter.

    Attributes:
        indices: into the flattened parameter, ascending [c]; none before the first batch.
        sums, squares: of the gradients of each step, averaged over workers [c]. steps: their number.
    """

    indices: Tensor
    sums: Tensor
    squares: Tensor
    steps: int = 0
    _gradient: Tensor = field(default_factory=lambda: torch.zeros(0))

    @classmethod
    def none(cls, like: Tensor) -> "Candidates":
        """No candidates yet, of entries with indices such as `like`."""
        empty = torch.zeros(0, device=like.device)
        return cls(indices=like[:0], sums=empty, squares=empty, _gradient=empty)

    def look(self, gradient: Tensor, n: int) -> None:
        """Take the n entries with the largest |gradient| if there are no candidates yet; then add their gradients.

        Args:
            gradient: of a batch, of the whole parameter; of an embedding it may be sparse in its rows.
        """
        if not len(self.indices):
            self.indices = largest_entries(gradient, n).to(self.indices.dtype)
            self._gradient = torch.zeros(len(self.indices), device=gradient.device)
        if not len(self._gradient):
            self._gradient = torch.zeros_like(self.sums)
        if gradient.is_sparse:
            add_rows(self._gradient, gradient, self.indices, row_starts(self.indices, gradient))
        else:
            add_dense(self._gradient, gradient, self.indices)

    def current(self) -> Pair:
        """The candidates and their gradients in this step, of this worker."""
        return self.indices, self._gradient if len(self._gradient) else torch.zeros_like(self.sums)

    def accumulate(self, of_workers: Sequence[Pair]) -> None:
        """Add the mean of the workers' gradients in a step.

        In the first step the workers may have different candidates, each the largest of its share of the batch: those
        with the largest sums remain, as many as one worker has.
        """
        if not self.steps:
            self.indices, mean = _joined(of_workers)
            self.sums, self.squares = torch.zeros_like(mean), torch.zeros_like(mean)
        else:
            mean = torch.stack([gradient for _, gradient in of_workers]).mean(0)
        self.steps, self._gradient = self.steps + 1, mean[:0]
        self.sums += mean
        self.squares += mean * mean

    def largest(self, entries: Tensor, n: int) -> Tensor:
        """Numbers of the n candidates with the largest |accumulated gradient| that are none of `entries`; or fewer."""
        free = (~torch.isin(self.indices, entries)).nonzero().flatten()
        return free[keep_largest(self.sums[free], min(n, len(free)))]

    def moments(self, numbers: Tensor) -> Pair:
        """Mean gradients and mean squared gradients of some candidates."""
        return self.sums[numbers] / max(1, self.steps), self.squares[numbers] / max(1, self.steps)

    def state(self) -> dict[str, object]:
        """Everything, between two steps."""
        return {"indices": self.indices, "sums": self.sums, "squares": self.squares, "steps": self.steps}

    def load_state(self, state: Mapping[str, object]) -> None:
        """Restore what `state` returned."""
        tensors = [state[name] for name in ("indices", "sums", "squares")]
        assert all(isinstance(tensor, Tensor) for tensor in tensors) and isinstance(state["steps"], int)
        device = self.indices.device
        self.indices, self.sums, self.squares = (torch.as_tensor(tensor).to(device) for tensor in tensors)
        self.steps = state["steps"]


def _joined(of_workers: Sequence[Pair]) -> Pair:
    """The entries with the largest |mean gradient| of those that are some worker's, as many as one worker has."""
    indices = torch.cat([indices for indices, _ in of_workers])
    gradients = torch.cat([gradient for _, gradient in of_workers]) / len(of_workers)
    union, inverse = indices.unique(return_inverse=True)
    mean = gradients.new_zeros(len(union)).index_add(0, inverse, gradients)
    largest = keep_largest(mean, min(len(mean), max(len(indices) for indices, _ in of_workers)))
    return union[largest], mean[largest]


def largest_entries(gradient: Tensor, n: int) -> Tensor:
    """Ascending flat indices of the n entries with the largest |gradient|, or of all if they are fewer."""
    if not gradient.is_sparse:
        return keep_largest(gradient, min(n, gradient.numel())).flatten().nonzero().flatten()
    gradient = gradient.coalesce()
    rows, values = gradient.indices()[0], gradient.values()  # [r], [r, columns]
    position = keep_largest(values, min(n, values.numel())).flatten().nonzero().flatten()
    n_columns = gradient.shape[1]
    return rows[position // n_columns] * n_columns + position % n_columns
