"""Networks with one hidden layer, those of all skills for alike layers: what bottlenecks and couplings are made of."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from polyray.modules.mix import Rows


class Adapters(NamedTuple):
    """Adapters of some skills side by side, n = skills * rank; each row may have some of its own.

    down [features, n] or [rows, features, n], down_bias [n] or [rows, 1, n], up [n, features] or [rows, n, features].
    """

    down: Tensor
    down_bias: Tensor
    up: Tensor


Mixture = tuple[Tensor, Tensor, Adapters]
"""Weights [rows, some skills] and biases [rows, features] of the rows of a mix, and the skills' adapters."""


class AdapterSet(nn.Module):
    """An adapter for each site and skill: adapter_s(y) = up_s relu(down_s y + down_bias_s) + up_bias_s.

    down [sites, 1, skills, features, rank] is drawn as Houlsby et al. 2019 draw it; up [sites, 1, skills, rank,
    features] and the biases are zero, so that a fresh adapter gives zero.
    """

    def __init__(self, n_sites: int, n_skills: int, features: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        shape = (n_sites, 1, n_skills)
        down = torch.empty(*shape, features, rank)
        nn.init.trunc_normal_(down, std=1e-2, a=-2e-2, b=2e-2, generator=generator)
        self.down = nn.Parameter(down)
        self.down_bias = nn.Parameter(torch.zeros(*shape, rank))
        self.up = nn.Parameter(torch.zeros(*shape, rank, features))
        self.up_bias = nn.Parameter(torch.zeros(*shape, features))

    def prepare(self, weights: Tensor) -> list[Mixture]:
        """For each site the rows' weights [rows, some skills] and biases [rows, features], and the skills' adapters.

        Every row uses the adapters of all skills; where the rows are sparse and nobody learns their weights (private,
        expert), each row gets its few adapters instead.
        """
        weights = weights[:, 0].to(self.down.dtype)  # [sites, rows, skills]
        up_bias = torch.bmm(weights, self.up_bias[:, 0])
        n_used = weights.shape[-1] if weights.requires_grad else max(1, int((weights != 0).sum(-1).max()))
        sites = range(len(weights))
        if 2 * n_used > weights.shape[-1]:
            return [(weights[site], up_bias[site], self._all(site)) for site in sites]
        skills = weights.abs().topk(n_used, -1).indices  # [sites, rows, n_used]
        weights = weights.gather(-1, skills)
        return [(weights[site], up_bias[site], self._of_rows(site, skills[site])) for site in sites]

    def _all(self, site: int) -> Adapters:
        """The adapters of all skills, for all rows."""
        down, bias, up = self.down[site, 0], self.down_bias[site, 0], self.up[site, 0]
        return Adapters(down.transpose(0, 1).flatten(1), bias.flatten(), up.flatten(0, 1))

    def _of_rows(self, site: int, skills: Tensor) -> Adapters:
        """The adapters of each row's skills [rows, n_used]."""
        down, bias, up = self.down[site, 0][skills], self.down_bias[site, 0][skills], self.up[site, 0][skills]
        return Adapters(down.transpose(1, 2).flatten(2), bias.flatten(1).unsqueeze(1), up.flatten(1, 2))

    def change(self, y: Tensor, mixed: Mixture, rows: Rows) -> Tensor:
        """The weighted sum of the adapters' outputs for y [batch, *length, features]; rows: of its examples."""
        weights, up_bias, adapters = mixed
        if adapters.down.dim() == 3:
            grouped = rows.gather(y)  # [rows, most, *length, features]
            return rows.scatter(_change(grouped, weights, adapters, up_bias))
        return _change(y, weights.index_select(0, rows.index), adapters, up_bias.index_select(0, rows.index))

    def change_of_tokens(self, site: int, y: Tensor, weights: Tensor) -> Tensor:
        """As `change`, with weights [*batch, skills] for every token of y [*batch, features]."""
        return _compose(y, weights, self._all(site), weights @ self.up_bias[site, 0].to(weights.dtype))


def _change(y: Tensor, weights: Tensor, adapters: Adapters, up_bias: Tensor) -> Tensor:
    """Change of y [n, *length, features], weights [n, skills] and up_bias [n, features] the same at all positions."""
    flat = y.reshape(len(y), -1, y.shape[-1])
    return _compose(flat, weights.unsqueeze(1), adapters, up_bias.unsqueeze(1)).view(y.shape)


def _compose(y: Tensor, weights: Tensor, adapters: Adapters, up_bias: Tensor) -> Tensor:
    """Weighted sum of the adapters' outputs: y [*batch, features] -> [*batch, features].

    weights [*batch or 1, skills], up_bias [*batch or 1, features].
    """
    down, down_bias, up = (tensor.to(y.dtype) for tensor in adapters)
    hidden = (y @ down + down_bias).relu()
    by_skill = hidden.view(*hidden.shape[:-1], weights.shape[-1], -1)  # [*batch, skills, rank]
    scaled = (by_skill * weights.to(y.dtype).unsqueeze(-1)).flatten(-2)
    change: Tensor = scaled @ up + up_bias.to(y.dtype)
    return change.to(y.dtype)
