"""T5's relative positions: a bias that all examples share, whose gradient is wanted for each of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from polyray.fisher.rules import Use

BIAS, COMPUTE = "relative_attention_bias", "compute_bias"  # of T5's attention in transformers: a layer, a method

Gather = Callable[[Use], None]


def attentions(network: nn.Module) -> dict[nn.Module, nn.Module]:
    """The attention modules that compute such a bias, by the embedding that holds it."""
    modules = dict(network.named_modules())
    names = [name.rpartition(".")[0] for name in modules if name.rpartition(".")[2] == BIAS]
    able = [name for name in names if COMPUTE in dir(modules[name])]
    return {modules[f"{name}.{BIAS}".lstrip(".")]: modules[name] for name in able}


@contextmanager
def by_example(attention: nn.Module, embedding: nn.Module, size: int, gather: Gather) -> Iterator[None]:
    """Within the block the attention's bias has a dimension of `size` examples, and its gradient goes to `gather`.

    gather: called with a use of the embedding: buckets of positions [size, queries, keys], and the gradients of their
    biases [size, queries, keys, heads].
    """
    buckets: list[Tensor] = []
    handle = embedding.register_forward_hook(lambda _, inputs, __: buckets.append(inputs[0].detach()))
    compute: Callable[..., Tensor] = getattr(attention, COMPUTE)

    def repeated(*arguments: Any, **named: Any) -> Tensor:
        with torch.no_grad():
            bias = compute(*arguments, **named)  # [1, heads, queries, keys]
        ids = buckets.pop()
        output = bias.expand(size, -1, -1, -1).clone().requires_grad_()
        x = ids.expand(size, *ids.shape)
        output.register_hook(lambda g: gather(Use(layer=embedding, x=x, g=g.permute(0, 2, 3, 1).float())))
        return output

    object.__setattr__(attention, COMPUTE, repeated)  # before the class's method; modules have no such attribute
    try:
        yield
    finally:
        object.__delattr__(attention, COMPUTE)
        handle.remove()
