"""Folders for working copies on this machine, which go with their processes."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polyray.runs.locking import is_locked, locked

PREFIX, LOCK, RUN = "polyray-store-", "lock", "run"  # the last one holds the folder
YOUNG = 60.0  # seconds in which a folder may not have its lock yet


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A new empty folder `name` below TMPDIR, removed after the block; those of killed processes are removed before.

    Raises:
        InputError: there is no room for it.
    """
    root = Path(tempfile.gettempdir())
    for folder in root.glob(f"{PREFIX}*"):
        _remove_dead(folder)
    home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    try:
        with locked(home / LOCK):
            folder = home / RUN / name
            folder.mkdir(parents=True)
            yield folder
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _remove_dead(folder: Path) -> None:
    """Remove a folder whose process was killed; another user's stays."""
    try:
        if time.time() - folder.stat().st_mtime > YOUNG and not is_locked(folder / LOCK):
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # gone meanwhile, or another user's
        return
