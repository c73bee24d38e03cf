"""Local files that a job reads, and their names on the cluster, where they are the job's working folder."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polyray.cluster.submission.archive import RAY_LIMIT, files_below, packed
from polyray.errors import InputError
from polyray.formats import is_there, user_path
from polyray.formats.text import MEBI

OUTSIDE = "outside"  # folder on the cluster for what is not below the current folder here
LARGEST = 5  # files that a refusal names


@dataclass(frozen=True, kw_only=True)
class LocalFiles:
    """Files that travel with a job.

    Attributes:
        files: by their names below the job's working folder.
        renamed: paths as the user wrote them -> on the cluster, for those that are called otherwise there.
    """

    files: Mapping[str, Path]
    renamed: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files.values())

    def packed(self, limit: float) -> bytes:
        """The files as one archive.

        Args:
            limit: bytes that all files together may have.

        Raises:
            InputError: they have more; the message names the largest ones.
        """
        if self.size > limit:
            raise InputError(self._refusal(f"are {_mebi(self.size)}, and --upload-limit is {_mebi(limit)}"))
        archive = packed(self.files)
        if len(archive) > RAY_LIMIT:
            text = f"are {_mebi(len(archive))} as an archive, and Ray takes {_mebi(RAY_LIMIT)} at most"
            raise InputError(self._refusal(text))
        return archive

    def _refusal(self, problem: str) -> str:
        sizes = {file: file.stat().st_size for file in self.files.values()}
        largest = sorted(sizes, key=lambda file: (-sizes[file], file))[:LARGEST]
        named = ", ".join(f"{file} ({_mebi(sizes[file])})" for file in largest)
        return (
            f"The local files of this job {problem}. The largest: {named}. Put them on storage that the nodes of the "
            "cluster share, and name its folder by --shared FOLDER, or leave some out."
        )


def local_files(paths: Iterable[str], shared: Sequence[Path] = ()) -> LocalFiles:
    """The files at `paths`, and below those that are folders; a path that is not there is left to the cluster.

    A relative path below the current folder keeps its name on the cluster.

    Args:
        shared: folders that are the same on the cluster; nothing below them travels.

    Raises:
        InputError: something cannot be read, or is neither file nor folder.
    """
    files: dict[str, Path] = {}
    renamed: dict[str, str] = {}
    for path in dict.fromkeys(paths):
        here = user_path(path)
        if not is_there(here) or is_shared(here, shared):
            continue
        name = os.path.normpath(path)
        if os.path.isabs(name) or name.startswith(("..", "~")):
            name = renamed[path] = f"{OUTSIDE}{os.path.abspath(here)}"
        for file in files_below(here):
            inside = file.relative_to(here).parts
            files[os.path.normpath("/".join((name, *inside)))] = file
    return LocalFiles(files=files, renamed=renamed)


def is_shared(path: Path, shared: Sequence[Path]) -> bool:
    """Whether `path` is one of the folders `shared` with the cluster, or below one."""
    absolute = os.path.abspath(path)
    return any(os.path.commonpath((absolute, os.path.abspath(folder))) == os.path.abspath(folder) for folder in shared)


def _mebi(size: float) -> str:
    return f"{size / MEBI:.1f} MiB"
