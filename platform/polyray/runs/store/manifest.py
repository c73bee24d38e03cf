"""The manifest of a state: its files, and the objects that hold them.

A manifest is a new object each time and carries its own sum: of those that are there the newest whole one counts, so
that no storage needs to replace an object, or to write one, at a single moment.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from polyray.errors import InputError
from polyray.runs.store.remote import Remote

NAME = re.compile(r"manifest-([0-9]{6,})-([0-9]{6,})-([0-9a-f]{8})\.json")
OBJECTS = "files"  # folder of the objects
OBJECT = re.compile(r"[0-9]{6,}-[0-9]{6,}-[0-9a-f]{8}-[0-9]{6,}")
FORMAT = 1


class StoredFile(NamedTuple):
    """One file of a state: the object that holds it, its size in bytes and its sha256."""

    object: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A state: `files` by their paths.

    Attributes:
        epoch: of its writer; later writers have greater ones.
        number: of the state among those of its writer, from 1.
        writer: name of the process that published it.
    """

    epoch: int = 0
    number: int = 0
    writer: str = "00000000"
    files: Mapping[str, StoredFile] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the object that holds the manifest."""
        return f"manifest-{self.stem}.json"

    @property
    def stem(self) -> str:
        """Beginning of the names of objects that came with it."""
        return f"{self.epoch:06d}-{self.number:06d}-{self.writer}"

    def having(self, files: Mapping[str, StoredFile]) -> Self:
        """The manifest with these files."""
        return replace(self, files=files)

    def encoded(self) -> bytes:
        """The manifest as text, its own sum in the first line."""
        values = {"format": FORMAT, "files": {path: list(file) for path, file in sorted(self.files.items())}}
        text = json.dumps(values, ensure_ascii=False, indent=0).encode()
        return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


def manifest_names(names: list[str]) -> list[str]:
    """Names of manifests among `names`, oldest first."""
    return sorted((name for name in names if NAME.fullmatch(name)), key=_order)


def epoch_of(name: str) -> int:
    """The epoch of the writer of the manifest called `name`."""
    return _order(name)[0]


def read_manifest(remote: Remote, name: str) -> Manifest | None:
    """The manifest called `name`; None where it is gone or not whole.

    Raises:
        InputError: a newer version of Polyray wrote it.
        StorageError: the storage refused.
    """
    match = NAME.fullmatch(name)
    assert match is not None, name
    try:
        total, _, text = remote.read(name).partition(b"\n")
    except FileNotFoundError:
        return None
    if hashlib.sha256(text).hexdigest().encode() != total:
        return None
    values = json.loads(text)
    if values["format"] != FORMAT:
        raise InputError(f"{remote.url} was written by a newer version of Polyray.")
    files = {path: StoredFile(*fields) for path, fields in values["files"].items()}
    strange = [path for path, file in files.items() if not _is_inside(path) or not OBJECT.fullmatch(file.object)]
    if strange:
        raise InputError(f"{remote.url}/{name} names a file {strange[0]!r:.200}, which no run has: it was made up.")
    return Manifest(epoch=int(match[1]), number=int(match[2]), writer=match[3], files=files)


def newest_manifest(remote: Remote) -> Manifest | None:
    """The newest whole manifest; None where there is none.

    Raises:
        InputError, StorageError: as `read_manifest`.
    """
    while True:
        names = manifest_names(remote.names())
        for name in reversed(names):
            manifest = read_manifest(remote, name)
            if manifest is not None:
                return manifest
        if manifest_names(remote.names()) == names:  # else a newer one took the places of all of them meanwhile
            return None


def _is_inside(path: str) -> bool:
    """Whether a path stays in the folder that it begins in."""
    return not path.startswith("/") and "\0" not in path and not {"", ".", ".."} & set(path.split("/"))


def _order(name: str) -> tuple[int, int]:
    match = NAME.fullmatch(name)
    assert match is not None, name
    return int(match[1]), int(match[2])
