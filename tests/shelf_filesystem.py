"""A stand-in for an object store between processes: flat keys, whole objects, no folders and no renaming."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

from fsspec import AbstractFileSystem

ROOT = "SHELF_ROOT"  # environment variable with the folder that holds the objects, one file each
PROTOCOL = "shelf"
WRITING = ".writing-"


class ShelfFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Objects in the folder of SHELF_ROOT, each in a file that is named after its whole key."""

    protocol = PROTOCOL
    cachable = False

    def _file(self, path: str) -> Path:
        return Path(os.environ[ROOT]) / quote(self._strip_protocol(path), safe="")

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        start = f"{self._strip_protocol(path)}/"
        below = [unquote(name) for name in os.listdir(os.environ[ROOT]) if not name.startswith(WRITING)]
        names = sorted({start + key[len(start) :].split("/")[0] for key in below if key.startswith(start)})
        if not names:
            raise FileNotFoundError(path)
        return [{"name": name, "type": "file", "size": 0} for name in names] if detail else names

    def cat_file(self, path: str, *arguments: Any, **options: Any) -> bytes:
        return self._file(path).read_bytes()

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        temporary = Path(os.environ[ROOT]) / f"{WRITING}{uuid4().hex}"
        temporary.write_bytes(value)
        temporary.replace(self._file(path))

    def put_file(self, lpath: str, rpath: str, *arguments: Any, **options: Any) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def get_file(self, rpath: str, lpath: str, *arguments: Any, **options: Any) -> None:
        Path(lpath).write_bytes(self.cat_file(rpath))

    def rm_file(self, path: str) -> None:
        self._file(path).unlink()

    def exists(self, path: str, **options: Any) -> bool:
        return self._file(path).exists()


def keys(root: Path) -> list[str]:
    """The keys of all objects."""
    return sorted(unquote(name) for name in os.listdir(root) if not name.startswith(WRITING))
