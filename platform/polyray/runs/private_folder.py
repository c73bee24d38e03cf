"""Folders for the temporary files of one process; those of killed processes go when the next one is made."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from polyray.runs.locking import is_locked, locked

LOCK = ".lock"


@contextmanager
def private_folder(prefix: str, below: Path) -> Iterator[Path]:
    """A new folder that only this user may enter, removed after the block; before, those of killed processes are.

    There is one file in it, the lock by which others see that this process lives.

    Raises:
        InputError: the folder cannot be written to.
    """
    remove_leftovers(prefix, below)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=below))
    try:
        with locked(folder / "new"):
            (folder / "new").rename(folder / LOCK)  # nobody sees it before it is locked
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(prefix: str, below: Path) -> None:
    """Remove what `private_folder` made for processes of this user that are no more."""
    for folder in below.glob(f"{prefix}*"):
        with suppress(FileNotFoundError, PermissionError):  # another process removes it, too; another user's
            is_own_folder = not folder.is_symlink() and folder.stat().st_uid == os.getuid()
            if is_own_folder and (folder / LOCK).exists() and not is_locked(folder / LOCK):
                shutil.rmtree(folder, ignore_errors=True)
