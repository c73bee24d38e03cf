"""Full-size modules: every entry of the layer's parameters may change."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.changes import Change, DenseChange
from polyray.modules.layers import matrices, run_layer
from polyray.modules.mix import Rows
from polyray.modules.site import Mixed, StackOptions, slices


class DenseOptions(StackOptions):
    """The choices of dense modules."""

    init: float = Field(0.0, ge=0)
    """Fresh entries are uniform within this over the square root of the fan in: 1 is Kaiming-uniform, with 0 a fresh
    module changes nothing."""


class DenseStack(nn.Module):
    """A change of every parameter, biases included, for alike sites and all skills (Ponti et al. 2023, section 3.2).

    change [sites, 1, skills, *shape of the parameter], when fresh `fresh_entries`. Mixed once per row of the mix, never
    per example.
    """

    Options: ClassVar[type[StackOptions]] = DenseOptions
    blends: ClassVar[bool] = True
    by_token: ClassVar[bool] = True
    changes_weights: ClassVar[bool] = True

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: DenseOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        matrices(layers[0])
        self.change = nn.ParameterDict(
            {
                name: nn.Parameter(fresh_entries(p, (len(layers), 1, n_skills, *p.shape), options.init, generator))
                for name, p in layers[0].named_parameters()
            }
        )

    def parts(self, site: int) -> dict[str, Tensor]:
        """The tensors of one site, each [1, skills, ...]."""
        return slices(self, site)

    @staticmethod
    def share(layers: Sequence[nn.Module], prepared: Sequence[Mixed]) -> Sequence[Mixed]:
        """The entries as they are: nothing is gained by running sites together."""
        return prepared

    def changes(self, layers: Sequence[nn.Module], weights: Tensor) -> list[dict[str, Tensor]]:
        """For each site and parameter name the mixed change [rows, *shape]."""
        return [dict(zip(self.change, site, strict=True)) for site in self.prepare(weights)]

    def prepare(self, weights: Tensor) -> list[Mixed]:
        """For each site and parameter: [rows, *shape]."""
        parts: list[list[Tensor]] = [[] for _ in range(weights.shape[0])]
        for change in self.change.values():
            flat = torch.bmm(weights[:, 0].to(change.dtype), change.flatten(3)[:, 0])  # [sites, rows, numel]
            for site, rows in enumerate(flat.unbind(0)):
                parts[site].append(rows.unflatten(-1, change.shape[3:]))
        return [tuple(part) for part in parts]

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer` with the rows' changes added to its parameters."""
        return run_layer(layer, dict(zip(self.change, mixed, strict=True)), rows, inputs, named)

    @staticmethod
    def parameter_changes(layer: nn.Module, options: Any, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """Dense changes of all parameters."""
        return {name.removeprefix("change."): DenseChange(change=x[0]) for name, x in tensors.items()}

    def additions(self) -> dict[str, Tensor]:
        """What the skills add to each parameter, flattened: name -> [sites, skills, numel]."""
        return {name: change.squeeze(1).flatten(2) for name, change in self.change.items()}

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        """Each token its own mixture of outputs: x [*batch, in], weights [*batch, skills].

        Raises:
            InputError: the layer is not linear.
        """
        if not isinstance(layer, nn.Linear):
            raise InputError("routing.kind=token_moe needs linear layers.")
        y: Tensor = layer(x)
        outputs = torch.einsum("...i,soi->...so", x, self.change["weight"][site, 0])
        if layer.bias is not None:
            outputs = outputs + self.change["bias"][site, 0]
        change: Tensor = (outputs * weights.unsqueeze(-1)).sum(-2)
        return y + change


def fresh_entries(parameter: Tensor, shape: Sequence[int], init: float, generator: torch.Generator) -> Tensor:
    """First entries of `shape` for changes of `parameter`: uniform within init / sqrt(fan in) of zero.

    With init = 1 that is what torch draws the weights of a linear layer from (Kaiming-uniform). Biases begin at zero.
    """
    if parameter.dim() < 2 or not init:
        return torch.zeros(*shape)
    bound = init / math.sqrt(parameter[0].numel())
    return (2 * torch.rand(*shape, generator=generator) - 1) * bound
