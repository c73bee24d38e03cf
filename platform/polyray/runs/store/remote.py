"""A folder behind an fsspec URL, and the few operations on it that runs need, each tried again where that can help."""

import errno
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from polyray.errors import InputError, StorageError
from polyray.files.disk import REMEDIES

DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # seconds before further tries, about a minute in all
LASTING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)  # another try gives the same answer
PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs", "abfss": "adlfs",
    "oss": "ossfs", "hf": "huggingface_hub", "sftp": "paramiko", "ssh": "paramiko", "smb": "smbprotocol",
}  # fmt: skip
"""Package to install for a protocol."""

Answer = TypeVar("Answer")


class FileSystem(Protocol):
    """The operations of an fsspec filesystem that are used."""

    def ls(self, path: str, detail: bool) -> list[str]:
        """The paths of files and folders directly in a folder."""

    def cat_file(self, path: str) -> bytes:
        """The content of a file."""

    def pipe_file(self, path: str, value: bytes) -> object:
        """Write a file."""

    def put_file(self, lpath: str, rpath: str) -> object:
        """Write a file with the content of a local one."""

    def get_file(self, rpath: str, lpath: str) -> object:
        """Write a local file with the content of one here."""

    def rm_file(self, path: str) -> object:
        """Remove a file."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""

    def makedirs(self, path: str, exist_ok: bool) -> object:
        """Make a folder and those above it."""

    def invalidate_cache(self) -> object:
        """Forget what folders held."""


def is_url(text: str) -> bool:
    """Whether `text` names a place of fsspec's and no ordinary path."""
    return "://" in text


@dataclass(frozen=True, kw_only=True)
class Remote:
    """The folder `path` of a filesystem.

    Attributes:
        url: of the folder, as messages name it.
        delays: seconds before further tries of what failed.
    """

    filesystem: FileSystem
    path: str
    url: str
    delays: Sequence[float] = DELAYS

    def within(self, name: str) -> "Remote":
        """The folder `name` in this one."""
        return Remote(
            filesystem=self.filesystem, path=f"{self.path}/{name}", url=f"{self.url}/{name}", delays=self.delays
        )

    def names(self) -> list[str]:
        """The sorted names of files and folders directly in this one; none where there is no folder.

        Raises:
            StorageError: the storage refused.
        """

        def action() -> list[str]:
            self.filesystem.invalidate_cache()  # other machines write here, too
            try:
                paths = self.filesystem.ls(self.path, detail=False)
            except FileNotFoundError:
                return []
            names = (path.rstrip("/").rpartition("/")[2] for path in paths if path.rstrip("/") != self.path)
            return sorted(set(names))

        return self._tried("list", "", action)

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: it is not there.
            StorageError: the storage refused.
        """
        return self._tried("read", name, lambda: self.filesystem.cat_file(self._at(name)))

    def write(self, name: str, content: bytes) -> None:
        """Write a file; on filesystems that are no object stores a reader may see it half-written.

        Raises:
            StorageError: the storage refused.
        """
        self._put(name, lambda: self.filesystem.pipe_file(self._at(name), content))

    def upload(self, file: Path, name: str) -> None:
        """Write the content of a local file, as `write` does.

        Raises:
            StorageError: the storage refused.
        """
        self._put(name, lambda: self.filesystem.put_file(str(file), self._at(name)))

    def download(self, name: str, file: Path) -> None:
        """Write the content of a file here into the new local `file`.

        Raises:
            FileNotFoundError: it is not there.
            StorageError: the storage or the disk refused.
        """
        self._tried("read", name, lambda: self.filesystem.get_file(self._at(name), str(file)))

    def remove(self, name: str) -> None:
        """Remove a file, unless it is gone already.

        Raises:
            StorageError: the storage refused.
        """

        def action() -> None:
            try:
                self.filesystem.rm_file(self._at(name))
            except FileNotFoundError:
                return

        self._tried("remove", name, action)

    def _at(self, name: str) -> str:
        return f"{self.path}/{name}"

    def _put(self, name: str, action: Callable[[], object]) -> None:
        def write() -> None:
            try:
                action()
            except FileNotFoundError:  # of a filesystem that has folders
                self._make_folder(name)
                action()

        self._tried("write", name, write)

    def _make_folder(self, name: str) -> None:
        """Make the folder of a file; the bucket, or what else the URL begins with, has to be there."""
        top = self.path.split("/")[0] or "/"
        if not self.filesystem.exists(top):
            raise InputError(f"There is no {top!r} for {self.url}. Make it, or choose another --out.")
        self.filesystem.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)

    def _tried(self, verb: str, name: str, action: Callable[[], Answer]) -> Answer:
        """The answer of `action`, which is tried again after a while where it failed."""
        explain = partial(self._refusal, verb, name)
        for delay in self.delays:
            try:
                return action()
            except (InputError, FileNotFoundError):
                raise
            except Exception as error:  # libraries below fsspec have error classes of their own
                if _is_lasting(error):
                    raise explain(error) from error
            time.sleep(delay * random.uniform(0.5, 1.0))  # so that machines do not try in step
        try:
            return action()
        except (InputError, FileNotFoundError):
            raise
        except Exception as error:
            raise explain(error) from error

    def _refusal(self, verb: str, name: str, error: Exception) -> StorageError:
        number = error.errno if isinstance(error, OSError) else None
        advice = REMEDIES.get(number, "") if number in LASTING else ""
        if isinstance(error, PermissionError):
            advice = "These credentials may not do that: change the permissions, or choose another --out."
        reason = " ".join(str(error).split()) or type(error).__name__
        where = f"{self.url}/{name}".rstrip("/")
        return StorageError(f"Cannot {verb} {where}: {reason:.300}." + (f" {advice}" if advice else ""))


def _is_lasting(error: Exception) -> bool:
    """Whether another try would give the same answer: there is no permission or room, or the code is wrong."""
    lasting = (PermissionError, TypeError, ValueError, AttributeError, LookupError, NotImplementedError)
    return isinstance(error, lasting) or (isinstance(error, OSError) and error.errno in LASTING)


def open_remote(url: str, delays: Sequence[float] = DELAYS) -> Remote:
    """The folder behind `url`; nothing is asked of it yet.

    Raises:
        InputError: there is no such protocol, its package is not installed, or its credentials are missing.
    """
    import fsspec  # a quarter of a second, for those alone who name a URL

    protocol, _, rest = url.partition("://")
    if not rest.strip("/"):
        raise InputError(f"--out {url} names no folder: write {protocol}://BUCKET/FOLDER.")
    try:
        filesystem: Any
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = PACKAGES.get(protocol)
        remedy = f"Install it on every node: pip install {package}" if package else " ".join(str(error).split())
        raise InputError(f"--out {url}: the package for {protocol}:// is not installed. {remedy}") from None
    except ValueError as error:
        protocols = ", ".join(f"{name}://" for name in ("s3", "gs", "abfs", "file"))
        reason = " ".join(str(error).split())
        raise InputError(f"--out {url}: {reason:.200}. Known are {protocols} and others of fsspec.") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"--out {url}: cannot open {protocol}://: {reason:.300}") from error
    return Remote(filesystem=filesystem, path=path.rstrip("/"), url=url.rstrip("/"), delays=delays)
