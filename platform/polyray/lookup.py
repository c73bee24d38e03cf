"""A name in a table, or an error that says which name was meant."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from polyray.errors import InputError

Entry = TypeVar("Entry")


def lookup(table: Mapping[str, Entry], name: str, what: str) -> Entry:
    """The entry of `table` called `name`; `what` says in the error what the table holds ("router").

    Raises:
        InputError: no entry has that name; the message gives the nearest one and all known ones.
    """
    if name in table:
        return table[name]
    raise InputError(f"No {what} is called {name!r}. {suggestion(name, table)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """One line that helps with an unknown `name`: the nearest known name, then all known ones (at most 20)."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return (f"Did you mean {near[0]!r}? " if near else "") + (f"Known: {listed}." if names else "None is known.")
