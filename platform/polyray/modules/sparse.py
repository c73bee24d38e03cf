"""Sparse modules: a fixed support per skill, only its entries are stored and trained."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.modules.changes import Change, SparseChange
from polyray.modules.dense import fresh_entries
from polyray.modules.layers import matrices, run_layer
from polyray.modules.mix import Rows
from polyray.modules.stack import Mixed, StackOptions, by_site


class SparseOptions(StackOptions):
    """The choices of sparse modules."""

    density: float = Field(0.1, gt=0, le=1)
    """Share of a matrix's entries that a skill may change."""
    init: float = Field(0.0, ge=0)
    """Fresh values are uniform within this over the square root of the fan in; 0: a fresh module changes nothing."""


class SparseStack(nn.Module):
    """A change of a fixed set of entries, for alike sites and all skills (Ponti et al. 2023, Eq. 5).

    For each matrix: values [sites, 1, skills, k], when fresh `fresh_entries`, and support [sites, 1, skills, k], their
    indices in the flattened matrix; k is the density times the number of entries. A fresh support is drawn at random
    from the generator.
    """

    Options: ClassVar[type[StackOptions]] = SparseOptions
    blends: ClassVar[bool] = False
    joins: ClassVar[bool] = True
    by_token: ClassVar[bool] = False
    changes_weights: ClassVar[bool] = True
    reads_weights: ClassVar[bool] = True
    stacks: ClassVar[bool] = True
    inverts: ClassVar[bool] = False

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: SparseOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        matrices(layers[0])
        parameters = {name: p for name, p in layers[0].named_parameters() if p.dim() > 1}
        self.shapes = {name: tuple(p.shape) for name, p in parameters.items()}
        self.values = nn.ParameterDict()
        for name, matrix in parameters.items():
            numel = matrix.numel()
            k = max(1, round(options.density * numel))
            shape = (len(layers), 1, n_skills, k)
            draws = [torch.randperm(numel, generator=generator)[:k] for _ in range(len(layers) * n_skills)]
            self.register_buffer(f"support_{name}", torch.stack(draws).sort(-1).values.view(shape))
            self.values[name] = nn.Parameter(fresh_entries(layers[0], matrix, shape, options.init, generator))

    def prepare(self, weights: Tensor) -> list[dict[str, Tensor]]:
        """For each site and matrix the rows' change [rows, *shape]: weights [sites, 1, rows, skills]."""
        return by_site({name: self._changes(name, weights[:, 0]) for name in self.shapes})

    def _changes(self, name: str, weights: Tensor) -> list[Tensor]:
        """For each site the change [rows, *shape] of the matrix `name`: weights [sites, rows, skills]."""
        shape, support = self.shapes[name], self.get_buffer(f"support_{name}")[:, 0].flatten(1)  # [sites, skills * k]
        values = self.values[name].transpose(1, 2)[:, None, :, 0]  # [sites, 1, skills, k]
        scaled = (weights.unsqueeze(-1) * values).flatten(2)  # [sites, rows, skills * k]
        blank = scaled.new_zeros(scaled.shape[1], torch.Size(shape).numel())
        return [
            blank.index_add(1, entries, summands).view(-1, *shape)
            for entries, summands in zip(support, scaled.unbind(0), strict=True)
        ]

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer` with the rows' changes added to its weights."""
        return run_layer(layer, mixed, rows, inputs, named)

    def updates(self, layer: nn.Module, mixed: Mixed) -> Mapping[str, Tensor]:
        """The changes of the parameters, which are what is mixed."""
        changes: Mapping[str, Tensor] = mixed
        return changes

    def row_changes(self, layers: Sequence[nn.Module], weights: Tensor) -> list[dict[str, Tensor]]:
        """For each site and matrix the change [rows, *shape] under weights [sites, 1, rows, skills]."""
        return self.prepare(weights)

    @staticmethod
    def parameter_changes(layer: nn.Module, options: Any, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """Sparse changes of all matrices."""
        return {
            name: SparseChange(
                values=tensors[f"values.{name}"][0], support=tensors[f"support_{name}"][0], shape=tuple(matrix.shape)
            )
            for name, matrix in layer.named_parameters()
            if f"values.{name}" in tensors
        }
