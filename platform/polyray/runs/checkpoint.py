"""Checkpoints that are whole or absent, and checked before they are used."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from polyray.files import writing

log = logging.getLogger(__name__)

SUMS = "sums.json"
PREFIX = "step-"  # of the name of a checkpoint's folder


def write_checkpoint(folder: Path, step: int, write: Callable[[Path], object], keep: int = 2) -> None:
    """Let `write` fill a new folder, then make it the checkpoint `folder`/step-N, whole or not at all.

    It is written under another name together with the sums of its files, synced to the disk, and renamed; checkpoints
    beyond the newest `keep` are removed afterwards.

    Args:
        folder: the checkpoints of one run, or of one of its phases.
        write: fills the empty folder that it is called with.
        keep: how many checkpoints stay, at least 1.

    Raises:
        ValueError: `keep` is below 1, so that nothing would be left.
    """
    if keep < 1:
        raise ValueError(f"keep={keep} would leave no checkpoint; keep at least 1.")
    final = folder / f"{PREFIX}{step:08d}"
    with writing(final) as temporary:
        write(temporary)
        (temporary / SUMS).write_text(json.dumps(_sums(temporary), indent=1), encoding="utf-8")
        for path in [*temporary.rglob("*"), temporary]:
            _sync(path)
    _sync(folder)
    for old in [*_checkpoints(folder)[:-keep], *folder.glob(".writing-*")]:  # the latter: left by killed processes
        shutil.rmtree(old, ignore_errors=True)


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`; damaged ones are reported in the log and passed over."""
    for path in reversed(_checkpoints(folder)):
        problem = _problem(path)
        if problem is None:
            return path
        log.warning("Checkpoint %s is damaged (%s); using the one before it.", path, problem)
    return None


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written, from its name."""
    return int(checkpoint.name.removeprefix(PREFIX))


def _checkpoints(folder: Path) -> list[Path]:
    """All checkpoints, oldest first."""
    return sorted(folder.glob(f"{PREFIX}*"), key=step_of)


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    return {str(path.relative_to(folder)): _sha256(path) for path in files}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _problem(path: Path) -> str | None:
    """Description of the damage of a checkpoint, None for a whole one."""
    try:
        expected = json.loads((path / SUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{SUMS} is missing or unreadable"
    actual = _sums(path)
    odd = sorted(name for name in {*expected, *actual} if expected.get(name) != actual.get(name))
    return f"{odd[0]} is missing or altered" if odd else None
