"""Prefixes: learned keys and values that every query of an attention layer sees before the tokens'."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.attention import Prefix, attending, register
from polyray.modules.mix import Rows
from polyray.modules.site import Site
from polyray.modules.stack import Mixed, StackOptions

KEY_LAYERS = ("k", "k_proj", "key", "k_lin")
"""Names of the layer that projects keys in transformers' attention modules."""

HEAD_WIDTHS = ("key_value_proj_dim", "head_dim", "attention_head_size")
"""Names of the width of a head there."""


class PrefixOptions(StackOptions):
    """The choices of prefixes."""

    length: int = Field(8, ge=1)
    """Key-value pairs of a prefix."""


class PrefixStack(nn.Module):
    """Key-value prefixes for alike attention modules and all skills (Li and Liang 2021, without reparametrisation).

    keys, values [sites, 1, skills, heads, length, head width], drawn from N(0, 0.02^2). They join the keys and values
    of the tokens in the attention function that a module of transformers calls; tokens keep their positions, and a
    cache of keys and values never holds them. The only kind whose fresh modules change the backbone: a prefix takes a
    share of the attention from the tokens even if its values are zero.
    """

    Options: ClassVar[type[StackOptions]] = PrefixOptions
    blends: ClassVar[bool] = True
    joins: ClassVar[bool] = True
    by_token: ClassVar[bool] = False
    changes_weights: ClassVar[bool] = False
    reads_weights: ClassVar[bool] = False
    stacks: ClassVar[bool] = False
    inverts: ClassVar[bool] = False

    def __init__(
        self, layers: Sequence[nn.Module], n_skills: int, options: PrefixOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        heads, width = heads_of(layers[0])
        register()
        shape = (len(layers), 1, n_skills, heads, options.length, width)
        self.keys = nn.Parameter(torch.empty(shape).normal_(std=0.02, generator=generator))
        self.values = nn.Parameter(torch.empty(shape).normal_(std=0.02, generator=generator))

    def prepare(self, weights: Tensor) -> list[Mixed]:
        """For each site the rows' keys and values, [rows, heads, length, head width] each."""
        shape = self.keys.shape[3:]
        weights = weights[:, 0].to(self.keys.dtype)
        keys, values = (torch.bmm(weights, skills[:, 0].flatten(2)) for skills in (self.keys, self.values))
        return list(zip(keys.unflatten(-1, shape), values.unflatten(-1, shape), strict=True))

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of the attention module `layer` with the rows' prefixes.

        Raises:
            InputError: it attends otherwise than by transformers' "sdpa".
        """
        config: Any = layer.config
        prefix, output = Prefix(mixed[0], mixed[1], rows), None
        if config._attn_implementation == "sdpa":
            with attending(config):
                output = layer(*inputs, **named, prefix=prefix)
        if not prefix.attended:
            raise InputError(
                f"modules.kind=prefix cannot act on this {type(layer).__name__}, whose attn_implementation is "
                f'{config._attn_implementation!r}. Load the backbone with attn_implementation="sdpa".'
            )
        return output


def heads_of(attention: nn.Module) -> tuple[int, int]:
    """Number of heads that the keys of an attention module have, and their width.

    Raises:
        InputError: it is no attention module of transformers that takes attention functions and their options, or
            has no key projection or head width under a name in KEY_LAYERS or HEAD_WIDTHS.
    """
    children = dict(attention.named_children())
    if not takes_prefixes(attention):
        raise InputError(
            f"modules.kind=prefix sits on attention modules of transformers that take an attention function, with a "
            f"linear layer called {' or '.join(KEY_LAYERS)} and an attribute {' or '.join(HEAD_WIDTHS)}; "
            f"{type(attention).__name__} has {', '.join(children) or 'no layers'}."
        )
    head_width = int(vars(attention)[_first(HEAD_WIDTHS, vars(attention))])
    return cast(nn.Linear, _key_layer(attention)).out_features // head_width, head_width


def takes_prefixes(attention: nn.Module) -> bool:
    """Whether `attention` is an attention module as `heads_of` needs it."""
    if not isinstance(_key_layer(attention), nn.Linear) or not _first(HEAD_WIDTHS, vars(attention)):
        return False
    parameters = inspect.signature(attention.forward).parameters.values()
    return "config" in vars(attention) and any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _key_layer(attention: nn.Module) -> nn.Module | None:
    """The layer that projects keys, without the skills on it."""
    children = dict(attention.named_children())
    layer = children.get(_first(KEY_LAYERS, children))
    return layer.layer if isinstance(layer, Site) else layer


def _first(names: Iterable[str], table: Iterable[str]) -> str:
    """The first of `names` that is in the table, else an empty one."""
    entries = set(table)
    return next((name for name in names if name in entries), "")
