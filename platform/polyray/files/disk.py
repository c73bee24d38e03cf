"""Operations on files that runs, checkpoints and skills go through, each at a named point that tests let fail."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path

from polyray.errors import InputError, StorageError
from polyray.formats.text import MEBI, opened

LARGEST = 512 * MEBI  # bytes of a file that is read as a whole, such as the metrics of a long run

REMEDIES: Mapping[int, str] = {
    errno.ENOSPC: "Free some space.",
    errno.EDQUOT: "Free some space, or ask for a larger quota.",
    errno.EROFS: "The disk is read-only: choose another folder.",
    errno.EACCES: "You may not write there: choose another folder, or change its permissions.",
    errno.EPERM: "You may not write there: choose another folder, or change its permissions.",
    errno.EIO: "The disk reports a fault; the system's log says more.",
    errno.EMFILE: "Too many files are open: raise the limit (ulimit -n).",
}
"""Advice for the errors that users meet."""


class Point(StrEnum):
    """Moments at which a run changes the disk, each of which may be the last one of its process."""

    FOLDER_MADE = "make a folder"
    UNFINISHED_MADE = "make the unfinished folder"
    CONTENT_WRITTEN = "write a file of an unfinished folder"
    CONTENT_SYNCED = "wait until a file of an unfinished folder is on the disk"
    FOLDER_SYNCED = "wait until the names in an unfinished folder are on the disk"
    FOLDER_SET_ASIDE = "rename the folder that is replaced"
    FOLDER_RENAMED = "give a finished folder its name"
    FILE_WRITTEN = "write a file under another name"
    FILE_SYNCED = "wait until a file is on the disk"
    FILE_RENAMED = "give a finished file its name"
    NAME_SYNCED = "wait until a new name is on the disk"
    LINE_APPENDED = "append a line"
    REMOVAL_BEGUN = "rename a folder that is to be removed"
    FILE_REMOVED = "remove a file"
    FOLDER_REMOVED = "remove an empty folder"
    FOLDER_PUT_BACK = "give a folder that was set aside its name again"


def without_waiting(file: str, flags: int) -> int:
    """Opener for `open`: a pipe that nobody reads is an error instead of waiting for its other end."""
    return os.open(file, flags | os.O_NONBLOCK, 0o666)


class Disk:
    """The operating system's files. Whatever changes them passes `act`, which a test overrides to let it fail."""

    def act(self, point: Point, path: Path, action: Callable[[], object]) -> None:
        """Change the file or folder `path`; the name of the `point` stands for the change."""
        action()

    def _explain(self, point: Point, path: Path, action: Callable[[], object]) -> None:
        try:
            self.act(point, path, action)
        except OSError as error:
            number = error.errno if error.errno is not None else errno.EIO
            advice = REMEDIES.get(number, "")
            raise StorageError(
                f"Cannot {point} ({path}): {os.strerror(number)}." + (f" {advice}" if advice else "")
            ) from error

    def write(self, point: Point, file: Path, content: bytes) -> None:
        """Write `content` into `file`, over what stood there."""
        self._explain(point, file, lambda: file.write_bytes(content))

    def fill(self, point: Point, file: Path, write: Callable[[Path], object]) -> None:
        """Let a library `write` the new `file`; its permissions follow the umask, which some libraries do not."""

        def action() -> None:
            file.touch()
            mode = file.stat().st_mode
            write(file)
            file.chmod(mode)

        self._explain(point, file, action)

    def append(self, point: Point, file: Path, content: bytes) -> None:
        """Add `content` at the end of `file`, which is made if it is not there."""

        def action() -> None:
            with open(file, "ab", opener=without_waiting) as stream:
                stream.write(content)

        self._explain(point, file, action)

    def rename(self, point: Point, old: Path, new: Path) -> None:
        """Give the file or folder `old` the name `new`; a file of that name is replaced."""
        self._explain(point, new, lambda: os.replace(old, new))

    def remove(self, point: Point, file: Path) -> None:
        """Remove a file or a link."""
        self._explain(point, file, file.unlink)

    def make_folder(self, point: Point, folder: Path) -> None:
        """Make the folder `folder`, whose parent is there."""
        self._explain(point, folder, lambda: folder.mkdir(exist_ok=True))

    def remove_folder(self, point: Point, folder: Path) -> None:
        """Remove an empty folder."""
        self._explain(point, folder, folder.rmdir)

    def sync(self, point: Point, path: Path) -> None:
        """Wait until a file's content, or a folder's list of names, is on the disk."""

        def action() -> None:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

        self._explain(point, path, action)

    def read(self, file: Path, limit: int = LARGEST) -> bytes:
        """The content of a regular file of at most `limit` bytes.

        Raises:
            InputError: it is larger, a pipe or a device, or cannot be read.
        """
        with opened(file) as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise InputError(f"{file} is larger than {limit // MEBI} MiB; it cannot be what is expected here.")
        return content

    def digest(self, file: Path) -> str:
        """The sha256 of a regular file, as a hexadecimal number.

        Raises:
            InputError: it is a pipe or a device, or cannot be read.
        """
        with opened(file) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def names(self, folder: Path) -> list[str]:
        """The sorted names in a folder; none where there is no folder."""
        return sorted(os.listdir(folder)) if folder.is_dir() else []

    def is_folder(self, path: Path) -> bool:
        """Whether there is a folder of this name that is no link."""
        return path.is_dir() and not path.is_symlink()

    def is_file(self, path: Path) -> bool:
        """Whether there is a regular file of this name, or a link to one."""
        return path.is_file()

    def exists(self, path: Path) -> bool:
        """Whether anything has this name, be it a link that leads nowhere."""
        return os.path.lexists(path)


_DISK: ContextVar[Disk] = ContextVar("disk", default=Disk())  # noqa: B039  # it has no state


def disk() -> Disk:
    """The disk in use."""
    return _DISK.get()


@contextmanager
def using(other: Disk) -> Iterator[None]:
    """Let all that is written in the block go to another disk, such as one that fails."""
    token = _DISK.set(other)
    try:
        yield
    finally:
        _DISK.reset(token)
