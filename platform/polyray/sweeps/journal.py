"""trials.jsonl: the configurations of a sweep in the order in which they were drawn, each written before it runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polyray.errors import InputError
from polyray.runs.metrics import append_synced, mend, read_lines
from polyray.sweeps.fields import Value, as_value

TRIALS = "trials.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One configuration.

    Attributes:
        number: from 0, without gaps.
        fields: dotted names and their values.
        donor: trial from whose state it goes on; None for none.
    """

    number: int
    fields: Mapping[str, Value]
    donor: int | None = None


def read_entries(sweep: Path, after: int = 0) -> list[Entry]:
    """The configurations of the sweep in the folder `sweep`; a last line cut short is left out.

    Args:
        after: leave out so many, which were read before.

    Raises:
        InputError: a line was altered.
    """
    file = sweep / TRIALS
    entries = []
    for index, line in enumerate(read_lines(file, after), start=after):
        fields = line.get("fields")
        if line.get("number") != index or not isinstance(fields, dict):
            raise InputError(f"{file}:{index + 1} is not the trial {index}: the file was altered.")
        donor = line.get("from")
        values = {name: as_value(value) for name, value in fields.items()}
        entries.append(Entry(number=index, fields=values, donor=donor if isinstance(donor, int) else None))
    return entries


def mend_entries(sweep: Path) -> None:
    """Remove a last line that a dying process cut short: its trial was never begun."""
    mend(sweep / TRIALS)


def append_entry(sweep: Path, entry: Entry) -> None:
    """Write a configuration; once this returns it is on the disk.

    Raises:
        StorageError: the disk refused.
    """
    append_synced(sweep / TRIALS, {"number": entry.number, "fields": entry.fields, "from": entry.donor})


def as_text(entries: Sequence[Entry]) -> str:
    """Numbers and fields as one line of JSON, from which `from_text` reads them."""
    return json.dumps([[entry.number, dict(entry.fields)] for entry in entries])


def from_text(text: str) -> list[Entry]:
    """The configurations that `as_text` wrote, without their donors."""
    pairs = json.loads(text)
    return [
        Entry(number=number, fields={name: as_value(value) for name, value in fields.items()})
        for number, fields in pairs
    ]
