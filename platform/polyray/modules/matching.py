"""Layers of a backbone by name patterns."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from polyray.errors import InputError
from polyray.lookup import nearest
from polyray.modules.layers import carries_skills

LISTED = 30  # names in a message at most


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
            raise InputError(f"No layer matches the site pattern {pattern!r}. {_suggestion(backbone, pattern)}")
        chosen.update(matched)
    return [name for name in names if name in chosen]


def candidates(backbone: nn.Module) -> str:
    """The layers of `backbone` that can carry skills, as a list of patterns with * for a number, for messages."""
    patterns = _carriers(backbone)
    more = f", ... ({len(patterns)} in all)" if len(patterns) > LISTED else ""
    return ", ".join(patterns[:LISTED]) + more if patterns else "none"


def _suggestion(backbone: nn.Module, pattern: str) -> str:
    last_names = dict.fromkeys(name.rpartition(".")[2] for name in _carriers(backbone))
    near = nearest(pattern.rpartition(".")[2], last_names)
    listed = f"Layers of this backbone that can carry skills: {candidates(backbone)}."
    return f"Did you mean {near!r}? {listed}" if near else listed


def _carriers(backbone: nn.Module) -> list[str]:
    names = [name for name, module in backbone.named_modules() if name and carries_skills(module)]
    starred = [".".join("*" if word.isdigit() else word for word in name.split(".")) for name in names]
    return list(dict.fromkeys(name.removesuffix(".layer") for name in starred))
