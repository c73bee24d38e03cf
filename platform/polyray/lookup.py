"""Lookup of a name in a table, with an error that suggests the name that was meant."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from polyray.errors import InputError

Entry = TypeVar("Entry")


def lookup(table: Mapping[str, Entry], name: str, noun: str) -> Entry:
    """Entry of `table` called `name`; `noun` is the word for an entry in the error ("router").

    Raises:
        InputError: no entry has that name; the message gives the nearest name and all names.
    """
    if name in table:
        return table[name]
    raise InputError(f"No {noun} is called {name!r}. {suggestion(name, table)}")


def suggestion(name: str, entries: Iterable[str]) -> str:
    """One line that helps with an unknown `name`: the nearest of the table's `entries`, then all (at most 20)."""
    names = sorted(entries)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return (f"Did you mean {near[0]!r}? " if near else "") + (f"Known: {listed}." if names else "None is known.")
