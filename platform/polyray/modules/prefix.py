"""Prefixes: learned keys and values that every query of an attention layer sees before the tokens'."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from polyray.errors import InputError
from polyray.modules.mix import Rows
from polyray.modules.site import Site
from polyray.modules.stack import Mixed, StackOptions

KEY_LAYERS = ("k", "k_proj", "key", "k_lin")
"""What attention modules call the layer that projects keys."""

HEAD_WIDTHS = ("key_value_proj_dim", "head_dim", "attention_head_size")
"""What attention modules call the width of a head."""


class PrefixOptions(StackOptions):
    """The choices of prefixes."""

    length: int = Field(8, ge=1)
    """Key-value pairs of a prefix."""


class PrefixStack(nn.Module):
    """Key-value prefixes for alike attention modules and all skills (Li and Liang 2021, without reparametrisation).

    keys, values [sites, 1, skills, heads, length, head width], drawn from N(0, 0.02^2). They join the keys and values
    of the tokens where the module calls `scaled_dot_product_attention`; tokens keep their positions, and a cache of
    keys and values never holds them. The only kind whose fresh modules change the backbone: a prefix takes a share of
    the attention from the tokens even if its values are zero.
    """

    Options: ClassVar[type[StackOptions]] = PrefixOptions
    blends: ClassVar[bool] = True
    by_token: ClassVar[bool] = False
    changes_weights: ClassVar[bool] = False

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: PrefixOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        heads, width = heads_of(layers[0])
        shape = (len(layers), 1, n_skills, heads, options.length, width)
        self.keys = nn.Parameter(torch.empty(shape).normal_(std=0.02, generator=generator))
        self.values = nn.Parameter(torch.empty(shape).normal_(std=0.02, generator=generator))

    def prepare(self, weights: Tensor) -> list[Mixed]:
        """For each site: keys and values, [rows, heads, length, head width] each."""
        shape = self.keys.shape[3:]
        weights = weights[:, 0].to(self.keys.dtype)
        keys, values = (torch.bmm(weights, skills[:, 0].flatten(2)) for skills in (self.keys, self.values))
        return [(key.unflatten(-1, shape), value.unflatten(-1, shape)) for key, value in zip(keys, values, strict=True)]

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of the attention module `layer` with the rows' prefixes.

        Raises:
            InputError: it does not compute attention by `scaled_dot_product_attention`.
        """
        # Dynamo loses torch function modes, which gives wrong numbers. `disable` as a decorator would load Dynamo with
        # this module, a quarter of the CPU time of a worker's imports.
        uncompiled: Callable[..., Any] = torch.compiler.disable(self._run)
        return uncompiled(layer, mixed, rows, inputs, named)

    def _run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """As `run`, for the interpreter only."""
        with _Prefixed(mixed[0], mixed[1], rows) as prefixed:
            output = layer(*inputs, **named)
        if not prefixed.seen:
            raise InputError(
                f"modules.kind=prefix cannot act on this {type(layer).__name__}: it never called "
                'scaled_dot_product_attention. Load the backbone with attn_implementation="sdpa" and leave out '
                "output_attentions."
            )
        return output


def heads_of(attention: nn.Module) -> tuple[int, int]:
    """Number and width of the heads of an attention module's keys.

    Raises:
        InputError: it has no key projection or head width under a known name.
    """
    kind = type(attention).__name__
    children = dict(attention.named_children())
    key = _first(KEY_LAYERS, children)
    width = _first(HEAD_WIDTHS, vars(attention))
    layer = children.get(key)
    linear = layer.layer if isinstance(layer, Site) else layer
    if not isinstance(linear, nn.Linear) or not width:
        raise InputError(
            f"modules.kind=prefix sits on attention modules with a linear layer called {' or '.join(KEY_LAYERS)} and "
            f"an attribute {' or '.join(HEAD_WIDTHS)}; {kind} has {', '.join(children) or 'no layers'}."
        )
    head_width = int(vars(attention)[width])
    return linear.out_features // head_width, head_width


def _first(names: Iterable[str], table: Iterable[str]) -> str:
    available = set(table)
    return next((name for name in names if name in available), "")


class _Prefixed(TorchFunctionMode):
    """Within the block, every `scaled_dot_product_attention` also sees the prefixes of its rows."""

    def __init__(self, keys: Tensor, values: Tensor, rows: Rows) -> None:
        super().__init__()
        self.prefixes, self.rows, self.seen = (keys, values), rows, False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        self.seen = True
        return self._attend(*args, **(kwargs or {}))

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **rest: Any,
    ) -> Tensor:
        rows = self.rows.widen(key.shape[0])
        heads, length = key.shape[1], self.prefixes[0].shape[2]
        if is_causal:
            attn_mask = key.new_ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
        if attn_mask is not None:
            unmasked = attn_mask.expand(*attn_mask.shape[:-1], key.shape[-2])
            attn_mask = functional.pad(unmasked, (length, 0), value=attn_mask.dtype == torch.bool)
        key, value = (
            torch.cat([_by_example(prefix, rows, heads).to(states.dtype), states], -2)
            for prefix, states in zip(self.prefixes, (key, value), strict=True)
        )
        return functional.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, **rest)


def _by_example(prefix: Tensor, rows: Rows, heads: int) -> Tensor:
    """[rows, its heads, length, width] -> [batch, heads, length, width], heads repeated as grouped queries need."""
    return prefix.index_select(0, rows.index).repeat_interleave(heads // prefix.shape[1], 1)
