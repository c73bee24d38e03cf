"""Checkpoints that are whole or absent, and checked before they are used."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

from polyray.files import clear, remove_folder, writing
from polyray.files.disk import Point, disk
from polyray.runs.sums import SUMS, damage, sums_of

log = logging.getLogger(__name__)

PREFIX = "step-"  # of the name of a checkpoint's folder
NAME = re.compile(rf"{PREFIX}[0-9]+")


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
        StorageError: the disk refused.
    """
    if keep < 1:
        raise ValueError(f"keep={keep} would leave no checkpoint; keep at least 1.")
    clear(folder)  # what killed processes left
    with writing(folder / f"{PREFIX}{step:08d}") as temporary:
        write(temporary)
        sums = json.dumps(sums_of(temporary), indent=1).encode()
        disk().write(Point.CONTENT_WRITTEN, temporary / SUMS, sums)
    for old in checkpoints(folder)[:-keep]:
        remove_folder(old)


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`; damaged ones are reported in the log and passed over."""
    for path in reversed(checkpoints(folder)):
        problem = damage(path)
        if problem is None:
            return path
        log.warning("Checkpoint %s is damaged (%s); using the one before it.", path, problem)
    return None


def clear_checkpoints(folder: Path, newest: Path) -> None:
    """Remove the remains of killed processes, and damaged checkpoints that are older than the whole one `newest`.

    An older one is half there if a process that did not rename it first was killed while it was being removed.
    """
    clear(folder)
    for old in checkpoints(folder):
        if step_of(old) < step_of(newest) and damage(old) is not None:
            remove_folder(old)


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written, from its name."""
    return int(checkpoint.name.removeprefix(PREFIX))


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints, oldest first, whole or not."""
    return sorted((folder / name for name in disk().names(folder) if NAME.fullmatch(name)), key=step_of)
