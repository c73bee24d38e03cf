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
    raise InputError(f"No {noun} is called {name!r:.80}. {suggestion(name, table)}")


def nearest(name: str, entries: Iterable[str], similarity: float = 0.5) -> str:
    """The one of `entries` that `name` is likeliest a slip for; empty: none is as similar as that, from 0 to 1."""
    by_letters = {entry.casefold(): entry for entry in sorted(entries, reverse=True)}
    near = get_close_matches(name[:100].casefold(), by_letters, n=1, cutoff=similarity)
    return by_letters[near[0]] if near else ""


def suggestion(name: str, entries: Iterable[str]) -> str:
    """One line that helps with an unknown `name`: the nearest of the table's `entries`, then all (at most 20).

    Of a longer entry 80 letters are shown.
    """
    names = sorted(f"{entry:.80}" for entry in entries)
    near = nearest(name, names)
    listed = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return (f"Did you mean {near!r}? " if near else "") + (f"Known: {listed}." if names else "None is known.")


def all_known(names: Iterable[str], entries: Iterable[str], noun: str) -> None:
    """Refuse a list of names that is empty, has one twice, or has one that is not among `entries`.

    Args:
        noun: the word for an entry in the error ("split").

    Raises:
        ValueError: that is so; the message gives the nearest name and all names.
    """
    table, seen = list(entries), list(names)
    if not seen:
        raise ValueError(f"expected at least one {noun}. {suggestion('', table)}")
    unknown = next((name for name in seen if name not in table), None)
    if unknown is not None:
        raise ValueError(f"No {noun} is called {unknown!r:.80}. {suggestion(unknown, table)}")
    if len(set(seen)) < len(seen):
        twice = next(name for name in seen if seen.count(name) > 1)
        raise ValueError(f"the {noun} {twice!r} is named twice")
