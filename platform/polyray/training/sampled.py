"""Gradients of few entries of a linear layer's weight, without the gradient of the whole weight.

An entry's gradient is a product of two columns: of the layer's inputs and of its outputs' gradients. Where few entries
are chosen, those products alone take less time than the product of the matrices (`torch.sparse.sampled_addmm`).
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

DENSEST = 0.01
"""Share of a weight's entries up to which they are sampled. At 1,024 tokens of 768 numbers that takes 0.4 to 0.5 of the
product's time at a share of 0.005, 0.5 to 0.8 of it from 0.01 to 0.02, and more than all of it at 0.04 to 0.08."""
Gather = Callable[[Tensor, Tensor], None]


def sampling_linears(network: nn.Module) -> dict[int, nn.Linear]:
    """The linear layers whose weights can be sampled, by the id of the weight; those that share it cannot."""
    uses = Counter(id(parameter) for module in network.modules() for parameter in module.parameters(recurse=False))
    layers = [module for module in network.modules() if type(module) is nn.Linear and "forward" not in vars(module)]
    return {id(layer.weight): layer for layer in layers if uses[id(layer.weight)] == 1}


def pattern(indices: Tensor, weight: Tensor) -> Tensor | None:
    """The chosen entries as a sparse matrix of zeros; None where the whole gradient is cheaper, or on a GPU.

    Args:
        indices: [k] into the flattened weight [out, in], ascending.
    """
    n_chosen, numel = len(indices), weight.numel()
    able = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)
    if not able or n_chosen > DENSEST * numel or not torch.backends.mkl.is_available():
        return None
    n_rows, n_columns = weight.shape
    starts = torch.searchsorted(indices.long(), torch.arange(n_rows + 1) * n_columns)
    columns = indices.long() % n_columns
    zeros = torch.zeros(n_chosen, dtype=weight.dtype)
    with warnings.catch_warnings():  # torch says once in each process that such tensors are new to it
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            starts.to(indices.dtype), columns.to(indices.dtype), zeros, weight.shape, check_invariants=False
        )


def add_sampled(target: Tensor, chosen: Tensor, gradient: Tensor, inputs: Tensor) -> None:
    """Add the chosen entries of gradient^T inputs: target [k], `chosen` from `pattern`, [N, out] and [N, in]."""
    target += torch.sparse.sampled_addmm(chosen, gradient.T.contiguous(), inputs, beta=0.0).values()


@contextmanager
def sampling(gathers: Mapping[nn.Linear, Gather]) -> Iterator[None]:
    """Within the block gradients of these layers' weights go to functions of (outputs' gradients, inputs).

    Under autocast, and for inputs of another type, they are computed as ever.
    """
    for layer, gather in gathers.items():
        layer.forward = partial(_forward, layer, gather)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in gathers:
            del layer.forward


def _forward(layer: nn.Linear, gather: Gather, inputs: Tensor) -> Tensor:
    if torch.is_autocast_enabled(inputs.device.type) or inputs.dtype != layer.weight.dtype:
        return functional.linear(inputs, layer.weight, layer.bias)
    outputs: Tensor = _SampledLinear.apply(inputs, layer.weight, layer.bias, gather)
    return outputs


class _SampledLinear(torch.autograd.Function):
    """A linear layer whose weight gets no gradient: the function `gather` is called in its place."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, gather: Gather) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.gather = gather
        return functional.linear(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        inputs, weight = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])
        ctx.gather(flat, inputs.reshape(-1, inputs.shape[-1]))
        of_inputs = gradient @ weight if ctx.needs_input_grad[0] else None
        return of_inputs, None, flat.sum(0) if ctx.needs_input_grad[2] else None, None
