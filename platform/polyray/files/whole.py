"""Writing of files and folders that are whole or absent, whenever the process that writes them or its machine stops."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from polyray.errors import StorageError
from polyray.files.disk import Point, disk

log = logging.getLogger(__name__)

UNFINISHED, REMOVED = ".writing-", ".removing-"  # how the names of what is not there yet, or no longer, begin
BEFORE = "-before"  # ending of the name of what is being replaced
REMAINS = re.compile(rf"(?:{re.escape(UNFINISHED)}|{re.escape(REMOVED)})(?P<name>.+)-[0-9a-f]{{8}}(?:{BEFORE})?")


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; it replaces `folder` if the block ends well and is removed if it fails.

    Its name begins with a dot, so that a library does not list the remains of a killed process; the next process that
    writes `folder`, or `clear`, removes them. Once the block has ended, everything in it is on the disk.

    Raises:
        StorageError: the disk refused.
    """
    make_folders(folder.parent)
    temporary = _beside(folder)
    disk().make_folder(Point.UNFINISHED_MADE, temporary)
    try:
        yield temporary
        _finish(temporary, folder)
    finally:
        if disk().exists(temporary):
            _clear_names(folder.parent, folder.name)


def _finish(temporary: Path, folder: Path) -> None:
    """Put the folder `temporary` in the place of `folder`.

    Names are synced before what was replaced is removed: else a machine that stops could lose both.
    """
    alone = not _is_unfinished(folder.parent)  # else the folder around it is synced as a whole
    if alone:
        _sync_tree(temporary)
    before = temporary.with_name(temporary.name + BEFORE)
    if disk().exists(folder):
        disk().rename(Point.FOLDER_SET_ASIDE, folder, before)
    disk().rename(Point.FOLDER_RENAMED, temporary, folder)
    if alone:
        disk().sync(Point.NAME_SYNCED, folder.parent)
    if disk().exists(before):
        remove_folder(before)


def write_file(file: Path, content: str | bytes) -> None:
    """Replace the content of `file` by `content` (text as UTF-8); a reader sees the old one or the new one, whole.

    Once this returns, the new content is on the disk.

    Raises:
        StorageError: the disk refused.
    """
    encoded = content.encode() if isinstance(content, str) else content
    if _is_unfinished(file.parent):
        disk().write(Point.CONTENT_WRITTEN, file, encoded)
        return
    temporary = _beside(file)
    try:
        disk().write(Point.FILE_WRITTEN, temporary, encoded)
        disk().sync(Point.FILE_SYNCED, temporary)
        disk().rename(Point.FILE_RENAMED, temporary, file)
        disk().sync(Point.NAME_SYNCED, file.parent)
    finally:
        if disk().exists(temporary):
            _clear_names(file.parent, file.name)


def fill_file(file: Path, write: Callable[[Path], object]) -> None:
    """Replace `file` by what `write` writes to the path that it is called with; whole or not at all, as `write_file`.

    Raises:
        StorageError: the disk refused.
    """
    temporary = _beside(file)
    try:
        disk().fill(Point.FILE_WRITTEN, temporary, write)
        disk().sync(Point.FILE_SYNCED, temporary)
        disk().rename(Point.FILE_RENAMED, temporary, file)
        disk().sync(Point.NAME_SYNCED, file.parent)
    finally:
        if disk().exists(temporary):
            _clear_names(file.parent, file.name)


def make_folders(folder: Path) -> None:
    """Make `folder` and the folders above it that are not there, and wait until their names are on the disk.

    Raises:
        StorageError: the disk refused.
    """
    if disk().exists(folder):
        return
    make_folders(folder.parent)
    disk().make_folder(Point.FOLDER_MADE, folder)
    if not _is_unfinished(folder):
        disk().sync(Point.NAME_SYNCED, folder.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that a process killed meanwhile leaves nothing under its name; `clear` removes the rest.

    The new name is synced first: else a machine that stops could keep the old name and lose files in it.

    Raises:
        StorageError: the disk refused.
    """
    match = REMAINS.fullmatch(folder.name)
    name = folder.name if match is None else match["name"]
    removed = folder.with_name(f"{REMOVED}{name}-{uuid4().hex[:8]}")
    disk().rename(Point.REMOVAL_BEGUN, folder, removed)
    if not _is_unfinished(folder.parent):
        disk().sync(Point.NAME_SYNCED, folder.parent)
    _remove_tree(removed)


def is_remains(name: str) -> bool:
    """Whether a killed process may have left a file or folder of this name behind."""
    return REMAINS.fullmatch(name) is not None


def clear(folder: Path) -> None:
    """Remove from `folder` what killed processes left half-written or half-removed.

    A folder that was set aside and not replaced yet gets its name back.
    """
    for name in {match["name"] for entry in disk().names(folder) if (match := REMAINS.fullmatch(entry))}:
        _clear_names(folder, name)


def _beside(path: Path) -> Path:
    """Make a new name beside `path`, and remove the remains of killed processes under such names."""
    _clear_names(path.parent, path.name)
    return path.with_name(f"{UNFINISHED}{path.name}-{uuid4().hex[:8]}")


def _clear_names(folder: Path, name: str) -> None:
    """Remove from `folder` the remains that belong to `name`; what cannot be removed is logged, and tried next time."""
    for entry in disk().names(folder):
        match = REMAINS.fullmatch(entry)
        if match is None or match["name"] != name:
            continue
        path = folder / entry
        try:
            if entry.endswith(BEFORE) and not disk().exists(folder / name):
                disk().rename(Point.FOLDER_PUT_BACK, path, folder / name)
                disk().sync(Point.NAME_SYNCED, folder)
            elif entry.endswith(BEFORE):
                remove_folder(path)
            else:
                _remove_tree(path)
        except StorageError as error:
            log.warning("%s It is tried again when %s is next written.", error, folder / name)


def _remove_tree(path: Path) -> None:
    if not disk().is_folder(path):
        disk().remove(Point.FILE_REMOVED, path)
        return
    for name in disk().names(path):
        _remove_tree(path / name)
    disk().remove_folder(Point.FOLDER_REMOVED, path)


def _sync_tree(path: Path) -> None:
    """Wait until all files below `path`, and all names there, are on the disk."""
    if not disk().is_folder(path):
        disk().sync(Point.CONTENT_SYNCED, path)
        return
    for name in disk().names(path):
        _sync_tree(path / name)
    disk().sync(Point.FOLDER_SYNCED, path)


def _is_unfinished(folder: Path) -> bool:
    """Whether `folder` is, or is in, a folder that is being written."""
    return any(name.startswith(UNFINISHED) for name in folder.parts)


def absent_folders(path: Path) -> list[Path]:
    """The folders that making `path` would make: itself and those above it that are not there, innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, innermost first, up to the first one that holds anything."""
    for folder in folders:
        if any(folder.iterdir()):
            return
        folder.rmdir()
