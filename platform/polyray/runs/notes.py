"""Notes beside pieces of work that are done, so that a run that was stopped does none of them again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyray.files import write_file
from polyray.formats import is_file, read_json_object

FINGERPRINT = "fingerprint"


def outcome_noted(file: Path, fingerprint: str) -> dict[str, Any] | None:
    """The outcome in the note `file`, None unless there is one that was written for this fingerprint."""
    if not is_file(file):
        return None
    note = read_json_object(file)
    return note if note.pop(FINGERPRINT, "") == fingerprint else None


def note_outcome(file: Path, fingerprint: str, outcome: Mapping[str, Any]) -> None:
    """Write a note that a piece of work is done.

    Args:
        fingerprint: of all that decides the outcome.

    Raises:
        StorageError: the disk refused.
    """
    write_file(file, json.dumps({FINGERPRINT: fingerprint, **outcome}))
