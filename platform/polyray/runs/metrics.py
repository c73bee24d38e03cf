"""The metrics of a run: one JSON line for each report, read by everybody through one function."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from polyray.errors import InputError
from polyray.files import write_file
from polyray.files.disk import Point, disk

METRICS = "metrics.jsonl"


def read_metrics(out: Path, phase: str | None = None) -> list[dict[str, Any]]:
    """The metrics that the run in `out` has reported so far, oldest first; a last line cut short is left out.

    Args:
        out: the run folder.
        phase: only lines of the phase of this name; None: all lines.

    Raises:
        InputError: a line is no JSON object.
    """
    lines = read_lines(out / METRICS)
    return lines if phase is None else [line for line in lines if line.get("phase") == phase]


def read_lines(file: Path, after: int = 0) -> list[dict[str, Any]]:
    """The objects in a file of JSON lines, none where there is no file; a last line cut short is left out.

    Args:
        after: leave out so many lines, which were read before.

    Raises:
        InputError: a line is no JSON object.
    """
    values = []
    for number, line in enumerate(whole_lines(file)[after:], start=after + 1):
        value = parsed(line)
        if value is None:
            raise InputError(
                f"{file}:{number} is no JSON object, so the file was altered. Continuing the run restores the file."
            )
        values.append(value)
    return values


def append_line(file: Path, values: Mapping[str, Any]) -> None:
    """Add one JSON line; NaN and infinity become null, numbers of other libraries plain numbers.

    Raises:
        StorageError: the disk refused.
    """
    line = to_json(dict(values), inf_nan_mode="null", fallback=float) + b"\n"
    disk().append(Point.LINE_APPENDED, file, line)


def append_synced(file: Path, values: Mapping[str, Any]) -> None:
    """Add one JSON line; once this returns it is on the disk, and so is the name of a new file.

    Raises:
        StorageError: the disk refused.
    """
    is_new = not disk().exists(file)
    append_line(file, values)
    disk().sync(Point.FILE_SYNCED, file)
    if is_new:
        disk().sync(Point.NAME_SYNCED, file.parent)


def mend(file: Path) -> None:
    """Remove lines that are no JSON objects, such as a last one cut short, so that others can follow."""
    rewrite(file, [line for line in whole_lines(file) if parsed(line) is not None])


def rewrite(file: Path, lines: Sequence[bytes]) -> None:
    """Let `file` have these lines only, unless it has them already; no file and no lines stay so."""
    content = b"".join(lines)
    before = disk().read(file) if disk().exists(file) else b""
    if content != before:
        write_file(file, content)


def whole_lines(file: Path) -> list[bytes]:
    """The lines of a file with their ends; one that a dying process cut short is left out."""
    if not disk().exists(file):
        return []
    lines = disk().read(file).split(b"\n")
    return [line + b"\n" for line in lines[:-1]]


def parsed(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line, None where it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
