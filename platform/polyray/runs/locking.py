"""Locks that keep a second process out of a folder.

The kernel drops an flock with its process, however that ended: a file that stays behind blocks nobody.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from polyray.errors import InputError
from polyray.files.disk import without_waiting


class FolderInUseError(InputError):
    """Another process is running in the folder."""


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the lock `file`, which is made if it is not there; its folder is.

    Raises:
        FolderInUseError: another process holds it.
        InputError: the folder cannot be written to.
    """
    with _opened(file) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUseError(
                f"Another process is running in {file.parent}. Wait until it ends, or choose another --out."
            ) from None
        yield


def is_locked(file: Path) -> bool:
    """Whether a process holds the lock `file`."""
    if not file.exists():
        return False
    with open(file, opener=without_waiting) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _opened(file: Path) -> TextIO:
    try:
        return open(file, "a", opener=without_waiting)
    except OSError as error:
        raise InputError(
            f"Cannot write in the run folder {file.parent}: {error.strerror}. Free some space, make it writable, or "
            "choose another --out."
        ) from None
