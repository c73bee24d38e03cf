"""Layers of a backbone by name patterns."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from polyray.errors import InputError
from polyray.lookup import suggestion


def match(backbone: nn.Module, patterns: Sequence[str]) -> list[str]:
    """The names of the layers that the patterns match, in the backbone's order.

    Raises:
        InputError: a pattern matches nothing; the message lists what could match.
    """
    names = [name for name, module in backbone.named_modules() if name and not name.endswith(".layer")]
    chosen = set()
    for pattern in patterns:
        matched = [name for name in names if fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")]
        if not matched:
            kinds = {name.rpartition(".")[2] for name in names if _is_layer(backbone.get_submodule(name))}
            raise InputError(f"No layer matches the site pattern {pattern!r}. {suggestion(pattern, kinds)}")
        chosen.update(matched)
    return [name for name in names if name in chosen]


def _is_layer(module: nn.Module) -> bool:
    return not any(True for _ in module.children()) and any(True for _ in module.parameters())
