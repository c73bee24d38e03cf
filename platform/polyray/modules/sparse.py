"""Sparse modules: a fixed support per skill, only its entries are stored and trained."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.changes import Change, SparseChange
from polyray.modules.dense import fresh_entries
from polyray.modules.layers import matrices, run_layer
from polyray.modules.mix import Rows
from polyray.modules.site import Mixed, StackOptions, slices


class SparseOptions(StackOptions):
    """The choices of sparse modules."""

    density: float = Field(0.1, gt=0, le=1)
    """Share of a matrix's entries that a skill may change."""
    init: float = Field(0.0, ge=0)
    """Fresh values are uniform within this over the square root of the fan in; 0: a fresh module changes nothing."""


class SparseStack(nn.Module):
    """A change of a fixed set of entries, for alike sites and all skills (Ponti et al. 2023, Eq. 5).

    For each matrix: values [sites, 1, skills, k], when fresh `fresh_entries`, and support [sites, 1, skills, k], their
    places in the flattened matrix; k is the density times the number of entries. A fresh support is drawn at random
    from the generator; `set_support` puts a chosen one.
    """

    Options: ClassVar[type[StackOptions]] = SparseOptions
    blends: ClassVar[bool] = False
    by_token: ClassVar[bool] = False
    changes_weights: ClassVar[bool] = True

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: SparseOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        matrices(layers[0])
        matrix = {name: p for name, p in layers[0].named_parameters() if p.dim() > 1}
        self.shapes = {name: tuple(p.shape) for name, p in matrix.items()}
        self.values = nn.ParameterDict()
        for name, p in matrix.items():
            numel = p.numel()
            k = max(1, round(options.density * numel))
            draws = [torch.randperm(numel, generator=generator)[:k] for _ in range(len(layers) * n_skills)]
            support = torch.stack(draws).sort(-1).values.view(len(layers), 1, n_skills, k)
            self.values[name] = nn.Parameter(fresh_entries(p, (len(layers), 1, n_skills, k), options.init, generator))
            self.register_buffer(f"support_{name}", support)

    def set_support(self, site: int, skill: int, name: str, places: Tensor) -> None:
        """Let `skill` change the entries `places` [k] of the flattened parameter `name` at `site`; values become zero.

        Raises:
            InputError: not k distinct places inside the parameter.
        """
        support = self.get_buffer(f"support_{name}")
        k, numel = support.shape[-1], torch.Size(self.shapes[name]).numel()
        chosen = places.unique()
        if len(chosen) != k or len(places) != k or not (0 <= int(chosen[0]) and int(chosen[-1]) < numel):
            raise InputError(f"A support of {name!r} is {k} distinct places in 0 to {numel - 1}.")
        support[site, 0, skill] = chosen
        with torch.no_grad():
            self.values[name][site, 0, skill] = 0

    def parts(self, site: int) -> dict[str, Tensor]:
        """The tensors of one site, each [1, skills, ...]."""
        return slices(self, site)

    @staticmethod
    def share(layers: Sequence[nn.Module], prepared: Sequence[Mixed]) -> Sequence[Mixed]:
        """The entries as they are: nothing is gained by running sites together."""
        return prepared

    def changes(self, layers: Sequence[nn.Module], weights: Tensor) -> list[dict[str, Tensor]]:
        """For each site and parameter name the mixed change [rows, *shape]."""
        return [dict(zip(self.shapes, site, strict=True)) for site in self.prepare(weights)]

    def prepare(self, weights: Tensor) -> list[Mixed]:
        """For each site and matrix: [rows, *shape]."""
        parts: list[list[Tensor]] = [[] for _ in range(weights.shape[0])]
        for name, shape in self.shapes.items():
            support = self.get_buffer(f"support_{name}")
            scaled = weights[:, 0].unsqueeze(-1) * self.values[name].transpose(1, 2)[:, None, :, 0]
            for site in range(weights.shape[0]):
                blank = scaled.new_zeros(scaled.shape[1], torch.Size(shape).numel())
                change = blank.index_add(1, support[site].flatten(), scaled[site].flatten(1))
                parts[site].append(change.view(-1, *shape))
        return [tuple(part) for part in parts]

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer` with the rows' changes added to its weights."""
        return run_layer(layer, dict(zip(self.shapes, mixed, strict=True)), rows, inputs, named)

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

    def additions(self) -> dict[str, Tensor]:
        """What the skills add to each matrix, flattened and zero off the support: name -> [sites, skills, numel]."""
        found = {}
        for name, shape in self.shapes.items():
            values = self.values[name].squeeze(1)
            blank = values.new_zeros(*values.shape[:2], torch.Size(shape).numel())
            found[name] = blank.scatter(-1, self.get_buffer(f"support_{name}").squeeze(1), values)
        return found

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        """Not for tokens: a support per token has no cheap form.

        Raises:
            InputError: always.
        """
        raise InputError("routing.kind=token_moe needs modules that act token by token, sparse ones do not: take lora.")
