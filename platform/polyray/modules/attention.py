"""Attention with prefixes: a function for the registry by which transformers' models choose how they attend."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.modules.mix import Rows

NAME = "polyray_prefix"
"""The function's name in the registry, transformers.AttentionInterface."""


class Prefix:
    """Keys and values [rows, heads, length, head width] that the queries of each row's examples see before the tokens'.

    Attributes:
        attended: whether `attend` has been called with it.
    """

    def __init__(self, keys: Tensor, values: Tensor, rows: Rows) -> None:
        self.keys, self.values, self.rows = keys, values, rows
        self.attended = False

    @property
    def length(self) -> int:
        """Number of key-value pairs."""
        return self.keys.shape[2]

    def before(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """The prefix followed by key and value [batch, heads, tokens, head width] of each example."""
        index = self.rows.widen(len(key)).index
        keys = torch.cat([self.keys.index_select(0, index).to(key.dtype), key], 2)
        return keys, torch.cat([self.values.index_select(0, index).to(value.dtype), value], 2)


def register() -> None:
    """Enter `attend` into transformers' registry."""
    from transformers import AttentionInterface  # seconds of imports, which only prefixes need

    AttentionInterface.register(NAME, attend)


@contextmanager
def attending(config: Any) -> Iterator[None]:
    """Within the block the modules of a model with this config attend by `attend`, which then takes a prefix.

    The config is the model's own: it is as it was before once the block ends.
    """
    implementation = config._attn_implementation
    config._attn_implementation = {"": NAME}  # of this config, not of those inside it
    try:
        yield
    finally:
        config._attn_implementation = {"": implementation}


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    prefix: Prefix,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers' "sdpa" computes it, with a prefix before keys and values.

    query [batch, heads, queries, width], key and value [batch, key heads, tokens, width]; attention_mask, bool or
    additive, and position_bias broadcast to [batch, heads, queries, tokens]. Every query sees the whole prefix, to
    which no position belongs.
    """
    from transformers import AttentionInterface  # as in `register`

    prefix.attended = True
    queries = query.shape[2]
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal  # as transformers decides it
    if attention_mask is None and causal and queries > 1:
        attention_mask = query.new_ones(1, 1, queries, queries, dtype=torch.bool).tril()
        key, value = key[:, :, :queries], value[:, :, :queries]  # nothing stands behind them, but in a static cache
        position_bias = None if position_bias is None else position_bias[..., :queries]
    if attention_mask is not None:
        unmasked = attention_mask.expand(*attention_mask.shape[:-1], key.shape[2])
        attention_mask = functional.pad(unmasked, (prefix.length, 0), value=unmasked.dtype == torch.bool)
    if position_bias is not None:
        position_bias = functional.pad(position_bias, (prefix.length, 0))
    key, value = prefix.before(key, value)
    sdpa = AttentionInterface()["sdpa"]
    output: tuple[Tensor, None] = sdpa(
        module, query, key, value, attention_mask, is_causal=False, position_bias=position_bias, **options
    )
    return output
