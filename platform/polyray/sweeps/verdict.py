"""trials/NUMBER.json: the end of a trial that is no finished run."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from polyray.errors import InputError
from polyray.files import make_folders, write_file
from polyray.formats import read_json_object


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Judgement of a trial.

    Attributes:
        state: open: it goes on, or is done; stopped: by the scheduler; failed: it is not tried again.
        reason: one line.
    """

    state: Literal["open", "stopped", "failed"] = "open"
    reason: str = ""


def read_verdict(file: Path) -> Verdict:
    """The verdict in `file`; an open one where there is none.

    Raises:
        InputError: the file was altered.
    """
    if not file.exists():
        return Verdict()
    try:
        return Verdict(**read_json_object(file))
    except TypeError as error:
        raise InputError(f"{file} is no verdict on a trial ({error}). Delete it: the trial is judged anew.") from None


def write_verdict(file: Path, verdict: Verdict) -> None:
    """Write a verdict, whole or not at all.

    Raises:
        StorageError: the disk refused.
    """
    make_folders(file.parent)
    write_file(file, json.dumps(asdict(verdict)))
