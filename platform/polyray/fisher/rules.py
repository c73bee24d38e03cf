"""Gradients of each example for the parameters of a layer, from the layer's input and its output's gradient."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from polyray.modules.layers import is_plain_linear, transposed

BLOCK = 1 << 18  # entries of a weight whose gradient is computed, squared and added while it is in the cache


@dataclass(frozen=True, eq=False, kw_only=True)
class Use:
    """One call of a layer: its first input x [B, ...] and the gradient of its output g [B, ...], examples first.

    more, named: its other inputs, which have no dimension of examples.
    """

    layer: nn.Module
    x: Tensor
    g: Tensor
    more: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)

    def example(self, index: int) -> "Use":
        """One example of it, B = 1."""
        return replace(self, x=self.x[index : index + 1], g=self.g[index : index + 1])


def add_squares(use: Use, sums: Mapping[str, Tensor]) -> None:
    """Add the squared gradients of all examples to `sums`, by the names of the layer's own parameters.

    Only parameters that `sums` names are looked at; sums [*shape].
    """
    layer, x, g = use.layer, use.x, use.g
    if is_plain_linear(layer):
        x, g = (tensor.reshape(len(tensor), -1, tensor.shape[-1]) for tensor in (x, g))  # [B, T, width]
        _add_linear(x, g, sums, transposed(layer))
    elif is_plain_embedding(layer):
        _add_embedding(layer, x.flatten(1), g.flatten(1, -2), sums["weight"])
    else:
        for name, gradients in _by_example(use, tuple(sums)).items():
            sums[name] += gradients.square().sum(0)


def add_gradient(use: Use, name: str, total: Tensor) -> None:
    """Add the gradient of the parameter `name` in the one example of `use` to `total` [*shape]."""
    if is_plain_embedding(use.layer):
        ids, gradient = _embedded(use.layer, use.x.flatten(), use.g.flatten(0, -2))
        total.index_add_(0, ids, gradient)
    else:
        total += _by_example(use, (name,))[name][0]


def is_plain_embedding(layer: nn.Module) -> TypeGuard[nn.Embedding]:
    """Whether `layer` looks rows of its weight up and does nothing else with them."""
    return isinstance(layer, nn.Embedding) and type(layer).forward is nn.Embedding.forward


def _add_linear(x: Tensor, g: Tensor, sums: Mapping[str, Tensor], is_transposed: bool) -> None:
    """Squares for a linear layer: x [B, T, in], g [B, T, out]."""
    if "bias" in sums:
        sums["bias"] += g.sum(1).square().sum(0)
    if "weight" not in sums:
        return
    rows, columns = (x, g) if is_transposed else (g, x)
    total = sums["weight"]  # [rows, columns]
    if x.shape[1] == 1:  # the square of an outer product is the outer product of the squares
        total.addmm_(rows[:, 0].square().mT, columns[:, 0].square())
        return
    height = max(BLOCK // total.shape[1], 1)
    gradient = total.new_empty(min(height, len(total)), total.shape[1])
    for start in range(0, len(total), height):
        block = total[start : start + height]
        for left, right in zip(rows[..., start : start + height], columns, strict=True):
            of_block = torch.mm(left.mT, right, out=gradient[: len(block)])
            block.addcmul_(of_block, of_block)


def _add_embedding(layer: nn.Embedding, ids: Tensor, g: Tensor, total: Tensor) -> None:
    """Squares for an embedding: an example's gradients of one row are added up first; ids [B, T], g [B, T, width]."""
    for of_example, gradient in zip(ids, g, strict=True):
        used, rows = _embedded(layer, of_example, gradient)
        tokens, index = used.unique(return_inverse=True)
        summed = rows.new_zeros(len(tokens), rows.shape[1]).index_add_(0, index, rows)
        total.index_add_(0, tokens, summed.square())


def _embedded(layer: nn.Embedding, ids: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Ids and gradients without those of padding, whose row gets no gradient: ids [T], g [T, width]."""
    if layer.padding_idx is None:
        return ids, g
    real = ids != layer.padding_idx
    return ids[real], g[real]


def _by_example(use: Use, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Gradients of the layer's own parameters for each example, by torch.func: [B, *shape]."""
    layer = use.layer
    parameters = {name: layer.get_parameter(name).detach() for name in names}

    def gradients(x: Tensor, g: Tensor) -> dict[str, Tensor]:
        def output(parameters: dict[str, Tensor]) -> Tensor:
            result: Tensor = functional_call(layer, parameters, (x.unsqueeze(0), *use.more), dict(use.named))
            return result

        pull: Callable[[Tensor], tuple[dict[str, Tensor]]] = vjp(output, parameters)[1]
        return pull(g.unsqueeze(0))[0]

    one_by_one = 1 if isinstance(layer, nn.Embedding) else None  # whose gradients are as large as the vocabulary
    by_example: dict[str, Tensor] = vmap(gradients, chunk_size=one_by_one)(use.x, use.g)
    return by_example
