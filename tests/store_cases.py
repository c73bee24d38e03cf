"""An object store in memory, one operation of which fails, kills its process, or lets something else happen."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from fsspec.implementations.memory import MemoryFileSystem

from polyray.runs.store.lease import Timing
from polyray.runs.store.part import Part, everything
from polyray.runs.store.remote import Remote

HASTY = Timing(beat=600.0, patience=0.005)  # no sign of life in a test, and no patience with the dead
Files = Mapping[str, str]
_numbers = count()


class DeadError(BaseException):
    """The end of a process: nothing catches it, and all that it would do afterwards fails, too."""


class Objects(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Objects in a dictionary of this one's own.

    number: operation before which, from 1, `fault` is called with the path and the content to write.
    writes: of each operation so far, whether it wrote something.
    """

    cachable = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.store: dict[str, Any] = {}
        self.pseudo_dirs = [""]
        self.writes: list[bool] = []
        self.number, self.dead = 0, False
        self.fault: Callable[[str, bytes], object] = lambda path, content: None

    def view(self, fault: Callable[["Objects", str, bytes], object] | None = None, number: int = 0) -> "Objects":
        """The same objects for another process, whose operation `number` has this fault."""
        other = Objects()
        other.store, other.pseudo_dirs, other.number = self.store, self.pseudo_dirs, number
        if fault is not None:
            other.fault = lambda path, content: fault(other, path, content)
        return other

    @property
    def count(self) -> int:
        """Operations so far."""
        return len(self.writes)

    def _act(self, path: str, content: bytes = b"") -> None:
        if self.dead:
            raise DeadError
        self.writes.append(bool(content))
        if self.count == self.number:
            self.fault(path, content)

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self._act(path)
        return super().ls(path, detail=detail, **options)

    def cat_file(self, path: str, *arguments: Any, **options: Any) -> Any:
        self._act(path)
        return super().cat_file(path, *arguments, **options)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> Any:
        self._act(path, value)
        return super().pipe_file(path, value, mode=mode, **options)

    def put_file(self, lpath: str, rpath: str, *arguments: Any, **options: Any) -> Any:
        self._act(rpath, Path(lpath).read_bytes())
        return super().put_file(lpath, rpath, *arguments, **options)

    def get_file(self, rpath: str, lpath: str, *arguments: Any, **options: Any) -> Any:
        self._act(rpath)
        return super().get_file(rpath, lpath, *arguments, **options)

    def rm_file(self, path: str) -> Any:
        self._act(path)
        return super().rm_file(path)


def killed(objects: Objects, path: str, content: bytes) -> None:
    """The process ends before the operation."""
    objects.dead = True
    raise DeadError


def killed_within(objects: Objects, path: str, content: bytes) -> None:
    """The process ends after half of what it writes is there, on storage that is no object store."""
    if content:
        MemoryFileSystem.pipe_file(objects, path, content[: len(content) // 2])
    killed(objects, path, content)


def refused_once(objects: Objects, path: str, content: bytes) -> None:
    """The storage fails, this time."""
    raise OSError("connection reset")


def at(objects: Objects, delays: tuple[float, ...] = (0.0,)) -> Remote:
    """The folder of a run there."""
    return Remote(filesystem=objects, path="/bucket/run", url="test://bucket/run", delays=delays)


def new_part(objects: Objects, home: Path, covers: Callable[[str], bool] = everything, timing: Timing = HASTY) -> Part:
    """A part at `at(objects)` in a new folder below `home`."""
    folder = home / str(next(_numbers))
    folder.mkdir()
    return Part(at(objects), folder, covers, timing)


def fill(folder: Path, files: Files) -> None:
    """Let the folder hold these files only."""
    shutil.rmtree(folder)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    folder.mkdir(exist_ok=True)


def content(folder: Path) -> Files:
    """The files below a folder."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def names(objects: Objects) -> Iterator[str]:
    """The names of all objects of the run."""
    for path in sorted(objects.store):
        yield path.removeprefix("/bucket/run/")
