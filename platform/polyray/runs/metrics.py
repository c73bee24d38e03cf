"""The metrics of a run: one JSON line for each report, read by everybody through one function."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from polyray.files import write_file

METRICS = "metrics.jsonl"


def read_metrics(out: Path, phase: str | None = None) -> list[dict[str, Any]]:
    """The metrics that the run in `out` has reported so far, oldest first; a last line cut short is left out.

    Args:
        out: the run folder.
        phase: only lines of the phase of this name; None: all lines.
    """
    lines = read_lines(out / METRICS)
    return lines if phase is None else [line for line in lines if line.get("phase") == phase]


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The objects in a file of JSON lines, none where there is no file; a last line cut short is left out."""
    return [json.loads(line) for line in _whole_lines(file)]


def append_line(file: Path, values: Mapping[str, Any]) -> None:
    """Add one JSON line; NaN and infinity become null, numbers of other libraries plain numbers."""
    line = to_json(dict(values), inf_nan_mode="null", fallback=float) + b"\n"
    with file.open("ab") as stream:
        stream.write(line)


def take_back(file: Path, phase: str | None, step: int) -> None:
    """Remove the lines of a stretch of a run that lie after `step`, and a last line cut short; others stay as they are.

    Args:
        file: JSON lines, each with its "step".
        phase: the stretch; None: lines that name no phase.
        step: lines up to and including this one stay.
    """
    lines = [(line, json.loads(line)) for line in _whole_lines(file)]
    _rewrite(file, [line for line, values in lines if values.get("phase") != phase or values["step"] <= step])


def mend(file: Path) -> None:
    """Remove a last line cut short, so that the next one begins on a line of its own."""
    _rewrite(file, _whole_lines(file))


def _rewrite(file: Path, lines: Sequence[bytes]) -> None:
    content = b"".join(lines)
    if file.exists() and content != file.read_bytes():
        write_file(file, content)


def _whole_lines(file: Path) -> list[bytes]:
    """The lines of a file with their ends; one that a dying process cut short is left out."""
    if not file.exists():
        return []
    return [line for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
