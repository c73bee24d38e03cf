"""Full-size modules: every entry of the layer's parameters may change."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.layers import matrices, run_layer
from polyray.modules.mix import Rows
from polyray.modules.options import ModuleOptions
from polyray.modules.site import Mixed, slices


class DenseStack(nn.Module):
    """A change of every parameter, biases included, for alike sites and all skills (Ponti et al. 2023, section 3.2).

    change [sites, 1, skills, *shape of the parameter], when fresh `fresh_entries`. Mixed once per row of the mix, never
    per example.
    """

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: ModuleOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        no_heads(options, "dense")
        matrices(layers[0])
        self.change = nn.ParameterDict(
            {
                name: nn.Parameter(fresh_entries(p, (len(layers), 1, n_skills, *p.shape), options, generator))
                for name, p in layers[0].named_parameters()
            }
        )

    def parts(self, site: int) -> dict[str, Tensor]:
        """The tensors of one site, each [1, skills, ...]."""
        return slices(self, site)

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


def fresh_entries(
    parameter: Tensor, shape: Sequence[int], options: ModuleOptions, generator: torch.Generator
) -> Tensor:
    """First entries of `shape` for changes of `parameter`: uniform within options.init / sqrt(fan in) of zero.

    With init = 1 that is what torch draws the weights of a linear layer from (Kaiming-uniform). Biases begin at zero.
    """
    if parameter.dim() < 2 or not options.init:
        return torch.zeros(*shape)
    bound = options.init / math.sqrt(parameter[0].numel())
    return (2 * torch.rand(*shape, generator=generator) - 1) * bound


def no_heads(options: ModuleOptions, kind: str) -> None:
    """Refuse multi-head routing where a kind has no heads.

    Raises:
        InputError: options.n_splits is not 1.
    """
    if options.n_splits != 1:
        raise InputError(f"modules.n_splits={options.n_splits} needs modules.kind=lora; {kind} modules have one head.")
