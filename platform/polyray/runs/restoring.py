"""Restoring metrics.jsonl at a resume: exactly the lines up to the checkpoint, whatever happened to the file.

Every checkpoint holds a copy of the file as it was when the checkpoint was written.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyray.files.disk import disk
from polyray.runs.checkpoint import PREFIX, checkpoints, latest_checkpoint, step_of
from polyray.runs.metrics import METRICS, parsed, rewrite, whole_lines

Line = tuple[bytes, Mapping[str, Any]]  # as it stands in the file, and its values


def restore_metrics(out: Path, folder: Path, phase: str | None, checkpoint: Path | None) -> None:
    """Make metrics.jsonl what it was at `checkpoint`; lines of the phase after it are gone.

    Lines of other phases are those up to their own newest whole checkpoints; where no phase has a checkpoint, they are
    what the file holds.

    Args:
        out: the run folder.
        folder: the checkpoints of all of its phases.
        phase: the stretch that goes on; None: the one without a name.
        checkpoint: where it goes on, None: at its beginning.
    """
    newest = _newest(folder, phase, checkpoint)
    copies = {name: _copy(path, out) for name, path in newest.items()}
    if not copies:
        rewrite(out / METRICS, [line for line, values in _lines(out / METRICS) if values.get("phase") != phase])
        return
    longest = max(copies.values(), key=len)
    names = dict.fromkeys([values.get("phase") for _, values in longest] + list(copies))
    stretches = [
        [line for line, _ in _up_to(copies[name], name, step_of(newest[name]))]
        if name in copies
        else [line for line, values in longest if values.get("phase") == name]
        for name in names
        if name in copies or name != phase
    ]
    rewrite(out / METRICS, [line for stretch in stretches for line in stretch])


def _newest(folder: Path, phase: str | None, checkpoint: Path | None) -> dict[str | None, Path]:
    """The newest whole checkpoint of each phase that has one; that of `phase` is known to be `checkpoint`."""
    newest: dict[str | None, Path] = {}
    for name in [None, *(name for name in disk().names(folder) if not name.startswith((PREFIX, ".")))]:
        if name == phase:
            latest = checkpoint
        else:
            inner = folder / (name or "")
            latest = latest_checkpoint(inner) if checkpoints(inner) else None
        if latest is not None:
            newest[name] = latest
    return newest


def _copy(checkpoint: Path, out: Path) -> list[Line]:
    """The lines that a checkpoint holds; those of earlier versions hold none, so the run's file is read."""
    copy = checkpoint / METRICS
    return _lines(copy if disk().exists(copy) else out / METRICS)


def _lines(file: Path) -> list[Line]:
    pairs = [(line, parsed(line)) for line in whole_lines(file)]
    return [(line, values) for line, values in pairs if values is not None and isinstance(values.get("step"), int)]


def _up_to(lines: Sequence[Line], phase: str | None, step: int) -> list[Line]:
    return [(line, values) for line, values in lines if values.get("phase") == phase and values["step"] <= step]
