"""The files of a working copy, each with its sum, which is computed anew only for files that changed."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from polyray.files import is_remains
from polyray.files.disk import disk

NEVER = frozenset({".lock", ".tune", "stop"})  # names that mean something to processes on this machine alone
LOGS = ("logs/ray", "logs/train/ray")  # of Ray's own processes: large, and of no use to a run that goes on


class Sign(NamedTuple):
    """Signs of a file by which a change of its content shows."""

    size: int
    changed: int
    inode: int


@dataclass(kw_only=True)
class Tree:
    """The files below `folder` that are published.

    Attributes:
        covers: called with the path of each, and of each folder with a / at its end; False: it is not.
    """

    folder: Path
    covers: Callable[[str], bool] = lambda path: True
    _sums: dict[str, tuple[Sign, str]] = field(default_factory=dict)

    def paths(self) -> list[str]:
        """The paths of the files, sorted, without those that only this machine needs or that are half-written."""
        return sorted(path for path in self._walk(self.folder, "") if self.covers(path))

    def sign(self, path: str) -> Sign:
        """The signs of a file now.

        Raises:
            FileNotFoundError: it is gone.
        """
        state = (self.folder / path).stat()
        return Sign(state.st_size, state.st_mtime_ns, state.st_ino)

    def sum(self, path: str) -> str:
        """The sha256 of a file.

        Raises:
            FileNotFoundError: it is gone.
        """
        sign = self.sign(path)
        before = self._sums.get(path)
        if before is not None and before[0] == sign:
            return before[1]
        with open(self.folder / path, "rb") as stream:
            total = hashlib.file_digest(stream, "sha256").hexdigest()
        if self.sign(path) == sign:
            self._sums[path] = (sign, total)
        return total

    def _walk(self, folder: Path, prefix: str) -> Iterator[str]:
        for name in disk().names(folder):
            path, there = f"{prefix}{name}", folder / name
            if name in NEVER or is_remains(name) or path.endswith(LOGS):
                continue
            if disk().is_folder(there) and self.covers(f"{path}/"):
                yield from self._walk(there, f"{path}/")
            elif disk().is_file(there):
                yield path
