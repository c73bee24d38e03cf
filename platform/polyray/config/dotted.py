"""Nested values under dotted names."""

import sys
from collections.abc import Mapping
from typing import Any


def dotted(values: Mapping[str, Any], levels: int = sys.maxsize) -> dict[str, Any]:
    """Nested values under dotted names, such as {"training.lr": 0.1}; an empty mapping stays a value.

    Args:
        levels: of nesting that become names; mappings below them stay values.
    """
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value and levels:
            fields |= {f"{name}.{inner}": x for inner, x in dotted(value, levels - 1).items()}
        else:
            fields[name] = value
    return fields
