"""Full-size modules: every entry of the layer's parameters may change."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.changes import Change, DenseChange
from polyray.modules.layers import fan_in, linear_widths, matrices, run_layer, transposed
from polyray.modules.mix import Rows
from polyray.modules.stack import Mixed, StackOptions, by_site


class DenseOptions(StackOptions):
    """The choices of dense modules."""

    init: float = Field(0.0, ge=0)
    """Fresh entries are uniform within this over the square root of the fan in: 1 is Kaiming-uniform, with 0 a fresh
    module changes nothing."""


class DenseStack(nn.Module):
    """A change of every parameter, biases included, for alike sites and all skills (Ponti et al. 2023, section 3.2).

    change [sites, 1, skills, *shape of the parameter], when fresh `fresh_entries`. Changes are averaged once for each
    row of the mix, not for each example.
    """

    Options: ClassVar[type[StackOptions]] = DenseOptions
    blends: ClassVar[bool] = True
    joins: ClassVar[bool] = True
    by_token: ClassVar[bool] = True
    changes_weights: ClassVar[bool] = True
    reads_weights: ClassVar[bool] = True
    stacks: ClassVar[bool] = True
    inverts: ClassVar[bool] = False

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: DenseOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        matrices(layers[0])
        self.change = nn.ParameterDict(
            {
                name: nn.Parameter(
                    fresh_entries(layers[0], p, (len(layers), 1, n_skills, *p.shape), options.init, generator)
                )
                for name, p in layers[0].named_parameters()
            }
        )

    def prepare(self, weights: Tensor) -> list[dict[str, Tensor]]:
        """For each site and parameter name the rows' change [rows, *shape]: weights [sites, 1, rows, skills]."""
        mixed = {
            name: torch.bmm(weights[:, 0].to(change.dtype), change[:, 0].flatten(2)).unflatten(-1, change.shape[3:])
            for name, change in self.change.items()
        }  # [sites, rows, *shape]
        return by_site({name: changes.unbind(0) for name, changes in mixed.items()})

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer` with the rows' changes added to its parameters."""
        return run_layer(layer, mixed, rows, inputs, named)

    def updates(self, layer: nn.Module, mixed: Mixed) -> Mapping[str, Tensor]:
        """The changes of the parameters, which are what is mixed."""
        changes: Mapping[str, Tensor] = mixed
        return changes

    def row_changes(self, layers: Sequence[nn.Module], weights: Tensor) -> list[dict[str, Tensor]]:
        """For each site and parameter name the change [rows, *shape] under weights [sites, 1, rows, skills]."""
        return self.prepare(weights)

    @staticmethod
    def parameter_changes(layer: nn.Module, options: Any, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """Dense changes of all parameters."""
        return {name.removeprefix("change."): DenseChange(change=x[0]) for name, x in tensors.items()}

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        """Each token its own mixture of outputs: x [*batch, in], weights [*batch, skills].

        Raises:
            InputError: the layer is not linear.
        """
        if linear_widths(layer) is None:
            raise InputError("routing.kind=token_moe needs linear layers.")
        y: Tensor = layer(x)
        change_of_weight = self.change["weight"][site, 0]
        matrix = (change_of_weight.mT if transposed(layer) else change_of_weight).to(x.dtype)  # [S, out, in]
        outputs = torch.einsum("...i,soi->...so", x, matrix)
        if "bias" in self.change:
            outputs = outputs + self.change["bias"][site, 0].to(x.dtype)
        change: Tensor = (outputs * weights.unsqueeze(-1).to(x.dtype)).sum(-2)
        return y + change


def fresh_entries(
    layer: nn.Module, parameter: Tensor, shape: Sequence[int], init: float, generator: torch.Generator
) -> Tensor:
    """First entries of `shape` for changes of a parameter of `layer`: uniform within init / sqrt(fan in) of zero.

    With init = 1 that is what torch draws the weights of a linear layer from (Kaiming-uniform). Biases begin at zero.
    """
    if parameter.dim() < 2 or not init:
        return torch.zeros(*shape)
    bound = init / math.sqrt(fan_in(layer, parameter))
    return (2 * torch.rand(*shape, generator=generator) - 1) * bound
