"""Bottleneck adapters: a small network after a layer."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.changes import Change
from polyray.modules.mix import Rows
from polyray.modules.site import Mixed, StackOptions, no_changes, slices


class BottleneckOptions(StackOptions):
    """The choices of bottleneck adapters."""

    rank: int = Field(16, ge=1)
    """Width of the hidden layer."""


class BottleneckStack(nn.Module):
    """Adapters with one hidden layer behind alike linear layers (Houlsby et al. 2019; Pfeiffer et al. 2021).

    y = layer(x) becomes y + sum_s w_s (up_s relu(down_s y + down_bias_s) + up_bias_s): the site is the last linear
    layer of a sublayer, so that the adapter sees the sublayer's output before it joins the residual stream.
    down [sites, 1, skills, features, rank] is drawn as Houlsby et al. draw it; up [sites, 1, skills, rank, features]
    and the biases are zero, so a fresh module changes nothing.
    """

    Options: ClassVar[type[StackOptions]] = BottleneckOptions
    blends: ClassVar[bool] = False
    by_token: ClassVar[bool] = True
    changes_weights: ClassVar[bool] = False

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: BottleneckOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        features = output_features(layers[0], "bottleneck")
        shape = (len(layers), 1, n_skills)
        down = torch.empty(*shape, features, options.rank)
        nn.init.trunc_normal_(down, std=1e-2, a=-2e-2, b=2e-2, generator=generator)
        self.down = nn.Parameter(down)
        self.down_bias = nn.Parameter(torch.zeros(*shape, options.rank))
        self.up = nn.Parameter(torch.zeros(*shape, options.rank, features))
        self.up_bias = nn.Parameter(torch.zeros(*shape, features))

    def parts(self, site: int) -> dict[str, Tensor]:
        """The tensors of one site, each [1, skills, ...]."""
        return slices(self, site)

    @staticmethod
    def share(layers: Sequence[nn.Module], prepared: Sequence[Mixed]) -> Sequence[Mixed]:
        """The entries as they are: nothing is gained by running sites together."""
        return prepared

    def changes(self, layers: Sequence[nn.Module], weights: Tensor) -> list[dict[str, Tensor]]:
        """Not of parameters.

        Raises:
            InputError: always.
        """
        raise no_changes("bottleneck")

    @staticmethod
    def parameter_changes(layer: nn.Module, options: Any, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """No parameters change.

        Raises:
            InputError: always.
        """
        raise no_changes("bottleneck")

    def additions(self) -> None:
        """None: outputs change, not parameters."""

    def prepare(self, weights: Tensor) -> list[Mixed]:
        """For each site: weights, down, down_bias, up and up_bias for `_compose`.

        The adapters of all skills lie side by side, [features, skills * rank], and every row uses all of them; where
        the rows are sparse and nobody learns their weights (private, expert), each row gets its own few instead,
        [rows, features, few * rank].
        """
        weights = weights[:, 0].to(self.down.dtype)  # [sites, rows, skills]
        up_bias = torch.bmm(weights, self.up_bias[:, 0])
        few = weights.shape[-1] if weights.requires_grad else max(1, int((weights != 0).sum(-1).max()))
        if 2 * few > weights.shape[-1]:
            return [(weights[site], *self._beside(site), up_bias[site]) for site in range(len(weights))]
        own = weights.abs().topk(few, -1).indices  # [sites, rows, few]
        kept = weights.gather(-1, own)
        return [(kept[site], *self._picked(site, own[site]), up_bias[site]) for site in range(len(weights))]

    def _beside(self, site: int) -> tuple[Tensor, Tensor, Tensor]:
        """[features, skills * rank], [skills * rank], [skills * rank, features]"""
        down, bias, up = self.down[site, 0], self.down_bias[site, 0], self.up[site, 0]
        return down.transpose(0, 1).flatten(1), bias.flatten(), up.flatten(0, 1)

    def _picked(self, site: int, own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[rows, features, few * rank], [rows, 1, few * rank], [rows, few * rank, features] for own [rows, few]."""
        down, bias, up = self.down[site, 0][own], self.down_bias[site, 0][own], self.up[site, 0][own]
        return down.transpose(1, 2).flatten(2), bias.flatten(1).unsqueeze(1), up.flatten(1, 2)

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of `layer` and what the rows' adapters add to it."""
        y: Tensor = layer(*inputs, **named)
        rows = rows.widen(y.shape[0])
        weights, down, down_bias, up, up_bias = mixed
        if down.dim() == 3:
            together = rows.gather(y)  # [rows, most, *length, features]
            flat = together.reshape(rows.n_rows, -1, y.shape[-1])
            change = _compose(flat, weights.unsqueeze(1), (down, down_bias, up), up_bias.unsqueeze(1))
            return y + rows.scatter(change.view(together.shape))
        flat = y.reshape(y.shape[0], -1, y.shape[-1])
        weights, up_bias = weights.index_select(0, rows.index), up_bias.index_select(0, rows.index)
        return y + _compose(flat, weights.unsqueeze(1), (down, down_bias, up), up_bias.unsqueeze(1)).view(y.shape)

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        """Each token its own mixture of adapters: x [*batch, in], weights [*batch, skills]."""
        y: Tensor = layer(x)
        return y + _compose(y, weights, self._beside(site), weights @ self.up_bias[site, 0].to(weights.dtype))


def output_features(layer: nn.Module, kind: str) -> int:
    """Width of the output of a linear layer, on which modules of `kind` act.

    Raises:
        InputError: the layer is not linear.
    """
    if not isinstance(layer, nn.Linear):
        raise InputError(f"modules.kind={kind} acts on the outputs of Linear layers, found a {type(layer).__name__}.")
    return layer.out_features


def _compose(y: Tensor, weights: Tensor, adapters: tuple[Tensor, Tensor, Tensor], up_bias: Tensor) -> Tensor:
    """y [*batch, features], weights [*batch or 1, skills], up_bias [*batch or 1, features] -> [*batch, features]."""
    down, down_bias, up = (part.to(y.dtype) for part in adapters)
    hidden = (y @ down + down_bias).relu()
    by_skill = hidden.view(*hidden.shape[:-1], weights.shape[-1], -1)  # [*batch, skills, rank]
    scaled = (by_skill * weights.to(y.dtype).unsqueeze(-1)).flatten(-2)
    change: Tensor = scaled @ up + up_bias.to(y.dtype)
    return change.to(y.dtype)
