"""A disk in memory that forgets, at a crash, whatever was not synced: some of it, in any order, or half of it."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from polyray.files.disk import LARGEST, Disk, Point


class CrashError(Exception):
    """The machine has stopped."""


@dataclass(eq=False)
class File:
    """A file: its content, and how much of its writing is on the disk."""

    content: bytes = b""
    synced: bytes = b""


@dataclass(eq=False)
class Folder:
    """A folder: its names now, those on the disk, and the changes of names that are not there yet, oldest first."""

    names: "dict[str, File | Folder]" = field(default_factory=dict)
    synced: "dict[str, File | Folder]" = field(default_factory=dict)
    pending: "list[dict[str, File | Folder | None]]" = field(default_factory=list)

    def change(self, names: "dict[str, File | Folder | None]") -> None:
        """Set names, or remove those that are None, in one step."""
        self.pending.append(names)
        _apply(self.names, names)


def _apply(names: "dict[str, File | Folder]", changes: "dict[str, File | Folder | None]") -> None:
    for name, entry in changes.items():
        if entry is None:
            names.pop(name, None)
        else:
            names[name] = entry


class SimulatedDisk(Disk):
    """Files in memory; the machine stops at operation `last` (from 1), in the middle of a write or before another one.

    What was not synced is then lost, kept or torn, as the generator draws it: content is cut anywhere, or replaced by
    zeros; of the changes of a folder's names some are kept, in any order.
    """

    def __init__(self, generator: random.Random, last: int) -> None:
        self.generator, self.last, self.count = generator, last, 0
        self.root = Folder()

    def act(self, point: Point, path: Path, action: Callable[[], object]) -> None:
        """Count the operation, and stop at the last one."""
        self.count += 1
        if self.count == self.last and self.generator.random() < 0.5:  # it may have happened
            action()
        if 0 < self.last <= self.count:  # what cleans up after an exception changes nothing any more
            raise CrashError
        action()

    def crash(self) -> None:
        """Lose what was not synced; the machine starts again, and nothing stops it any more."""
        self._lose(self.root)
        self.last = 0

    def _lose(self, folder: Folder) -> None:
        survivors = [changes for changes in folder.pending if self.generator.random() < 0.5]
        newest = {id(entry): name for changes in survivors for name, entry in changes.items() if entry is not None}
        self.generator.shuffle(survivors)
        names = dict(folder.synced)
        for changes in survivors:
            _apply(names, changes)
        twice = [id(entry) for entry in names.values()]
        names = {  # a file or folder that was renamed has one name, the newest that is on the disk
            name: entry for name, entry in names.items() if twice.count(id(entry)) == 1 or newest.get(id(entry)) == name
        }
        folder.names, folder.synced, folder.pending = names, dict(names), []
        for entry in names.values():
            if isinstance(entry, Folder):
                self._lose(entry)
            elif entry.content != entry.synced:
                entry.content = entry.synced = self._torn(entry)

    def _torn(self, file: File) -> bytes:
        length = self.generator.randint(0, len(file.content))
        return self.generator.choice(
            [file.synced, file.content, file.content[:length], bytes(length) + file.content[length:]]
        )

    def write(self, point: Point, file: Path, content: bytes) -> None:
        """Write `content` into `file`, over what stood there."""

        def action() -> None:
            folder = self._folder(file.parent)
            entry = folder.names.get(file.name)
            if not isinstance(entry, File):
                entry = File()
                folder.change({file.name: entry})
            entry.content = content

        self.act(point, file, action)

    def append(self, point: Point, file: Path, content: bytes) -> None:
        """Add `content` at the end of `file`."""
        self.write(point, file, (self.read(file) if self.exists(file) else b"") + content)

    def rename(self, point: Point, old: Path, new: Path) -> None:
        """Give `old` the name `new` in the same folder."""
        assert old.parent == new.parent
        folder = self._folder(old.parent)
        self.act(point, new, lambda: folder.change({new.name: folder.names[old.name], old.name: None}))

    def remove(self, point: Point, file: Path) -> None:
        """Remove a file."""
        self.act(point, file, lambda: self._folder(file.parent).change({file.name: None}))

    def make_folder(self, point: Point, folder: Path) -> None:
        """Make a folder."""
        self.act(point, folder, lambda: self._folder(folder.parent).change({folder.name: Folder()}))

    def remove_folder(self, point: Point, folder: Path) -> None:
        """Remove a folder."""
        self.remove(point, folder)

    def sync(self, point: Point, path: Path) -> None:
        """Bring a file's content, or a folder's names, to the disk."""

        def action() -> None:
            entry = self._entry(path)
            if isinstance(entry, File):
                entry.synced = entry.content
            else:
                entry.synced, entry.pending = dict(entry.names), []

        self.act(point, path, action)

    def read(self, file: Path, limit: int = LARGEST) -> bytes:
        """The content of a file, however long."""
        entry = self._entry(file)
        assert isinstance(entry, File)
        return entry.content

    def digest(self, file: Path) -> str:
        """The sha256 of a file."""
        return hashlib.sha256(self.read(file)).hexdigest()

    def names(self, folder: Path) -> list[str]:
        """The names in a folder."""
        return sorted(self._folder(folder).names) if self.exists(folder) else []

    def is_folder(self, path: Path) -> bool:
        """Whether there is a folder of this name."""
        return self.exists(path) and isinstance(self._entry(path), Folder)

    def is_file(self, path: Path) -> bool:
        """Whether there is a file of this name."""
        return self.exists(path) and isinstance(self._entry(path), File)

    def exists(self, path: Path) -> bool:
        """Whether anything has this name."""
        try:
            self._entry(path)
        except FileNotFoundError:
            return False
        return True

    def _folder(self, path: Path) -> Folder:
        entry = self._entry(path)
        assert isinstance(entry, Folder)
        return entry

    def _entry(self, path: Path) -> File | Folder:
        entry: File | Folder = self.root
        for name in path.parts[1:]:  # after the slash
            if not isinstance(entry, Folder) or name not in entry.names:
                raise FileNotFoundError(path)
            entry = entry.names[name]
        return entry
