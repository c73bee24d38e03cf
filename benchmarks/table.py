"""Tables of figures, for readers and for programs."""

import contextlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PACKAGES = ("polyray", "torch", "transformers", "peft", "ray", "numpy", "numba", "gymnasium", "minigrid")


def show(title: str, rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print `rows` as a table, or with `as_json` as {"rows": ..., "versions": ...}."""
    if as_json:
        print(json.dumps({"rows": list(rows), "versions": versions()}))
        return
    table = Table(*rows[0], title=title)
    for row in rows:
        cells = [f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()]
        table.add_row(*map(Text, cells))  # no markup: brackets stay
    Console(width=max(Console().width, 200)).print(table)  # wide enough for a line a row, in a file too


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that are installed."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed
