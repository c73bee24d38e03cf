"""Notes beside pieces of work that are done, so that a run that was stopped does none of them again."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.files import write_file
from polyray.formats import is_file, read_json_object
from polyray.runs.sealed import read_sealed

log = logging.getLogger(__name__)

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


def sealed_outcome(file: Path, again: str, **decisive: Any) -> dict[str, Any] | None:
    """The outcome of an earlier start in the sealed `file`; None where there is none, or it was altered.

    Args:
        again: sentence of the warning about an altered one, on what is done.
        decisive: fields that it must have, of all that decides the outcome.
    """
    if not file.exists():
        return None
    try:
        outcome = read_sealed(file)
    except InputError as error:
        log.warning("%s %s", error, again)
        return None
    return outcome if all(outcome[name] == value for name, value in decisive.items()) else None
