"""Distances of a network's entries from where they were, a block at a time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 1 << 20  # entries that are looked at together
INTEGERS = {torch.float32: torch.int32, torch.float64: torch.int64}  # of as many bits


@dataclass(frozen=True, eq=False)
class Distances:
    """|tensors - origin| of named tensors, entry by entry; without an origin |tensors|.

    They are computed as fp32, which holds differences of bf16 and fp16 better than these do, or as fp64 where one of
    the tensors is fp64; never for more than a block of one tensor at a time.

    Raises:
        ValueError: a tensor is not of floating point, or names, shapes or devices of the origin differ.
    """

    tensors: Mapping[str, Tensor]
    origin: Mapping[str, Tensor] | None = None

    def __post_init__(self) -> None:
        odd = [name for name, tensor in self.tensors.items() if not tensor.is_floating_point()]
        if odd:
            raise ValueError(f"{odd[0]} is of the type {self.tensors[odd[0]].dtype}; distances are of real numbers.")
        if self.origin is None:
            return
        differing = sorted(self.tensors.keys() ^ self.origin.keys())
        differing += [name for name in self.tensors if name not in differing and not self._fits(name)]
        if differing:
            raise ValueError(f"The tensors and their origin differ in name, shape or device: {differing[0]}.")

    def _fits(self, name: str) -> bool:
        assert self.origin is not None
        tensor, origin = self.tensors[name], self.origin[name]
        return tensor.shape == origin.shape and tensor.device == origin.device

    @property
    def dtype(self) -> torch.dtype:
        """Type in which distances are computed."""
        all_tensors = [*self.tensors.values(), *(self.origin or {}).values()]
        return torch.float64 if any(tensor.dtype == torch.float64 for tensor in all_tensors) else torch.float32

    @property
    def n_entries(self) -> int:
        """Entries of all tensors."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    def of(self, names: Iterable[str]) -> "Distances":
        """Distances of the tensors with these names."""
        chosen = list(names)
        origin = None if self.origin is None else {name: self.origin[name] for name in chosen}
        return Distances({name: self.tensors[name] for name in chosen}, origin)

    def whole(self, name: str) -> Tensor:
        """Signed distances of a whole tensor, in its shape."""
        tensor = self.tensors[name].detach().to(self.dtype)
        return tensor if self.origin is None else tensor - self.origin[name].detach().to(self.dtype)

    def blocks(self, name: str) -> Iterator[tuple[int, Tensor]]:
        """Index of the first entry and keys [n] of the entries of each block of a flattened tensor.

        A key is the distance's own bits without the sign, read as an integer: it grows with the distance, and NaN has
        keys above that of infinity.
        """
        tensor = self.tensors[name].detach().reshape(-1)
        origin = None if self.origin is None else self.origin[name].detach().reshape(-1)
        integers = INTEGERS[self.dtype]
        for start in range(0, tensor.numel(), BLOCK):
            distances = tensor[start : start + BLOCK].to(self.dtype)
            if origin is not None:
                distances = distances - origin[start : start + BLOCK].to(self.dtype)
            yield start, distances.view(integers) & torch.iinfo(integers).max
