"""The folder of a Ray cluster on this machine: private, and short enough for the sockets in it."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from polyray.errors import InputError
from polyray.runs.private_folder import private_folder

SOCKET = 107  # bytes of a Unix socket's path (sockaddr_un has 108, with the final zero)
BELOW = len("/polyray-12345678/r/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
SPARE = ("/tmp", "/var/tmp", "/dev/shm")


@contextmanager
def private_home() -> Iterator[Path]:
    """A new folder for Ray within one that only this user may enter; both are gone after the block.

    Ray gives everybody the right to write into its folder, so that several users can share a cluster. Where a process
    and its reaper were killed together, the folder stays until a later one of this user comes here.

    Raises:
        InputError: no folder for temporary files has a path short enough, or none can be written to.
    """
    with private_folder("polyray-", temporary_folder()) as parent:
        home = parent / "r"
        home.mkdir()
        yield home


def temporary_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The first folder for temporary files in which Ray's sockets have paths that the system takes.

    RAY_TMPDIR comes before TMPDIR, and these before the system's own.

    Raises:
        InputError: there is none.
    """
    named = {name: environment[name] for name in ("RAY_TMPDIR", "TMPDIR") if environment.get(name)}
    for folder in (*named.values(), *SPARE):
        path = os.path.abspath(folder)
        if len(os.fsencode(path)) + BELOW <= SOCKET and os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK):
            return Path(path)
    set_to = "".join(f" {name} is {folder!r}." for name, folder in named.items())
    raise InputError(
        f"Ray needs a folder for temporary files that can be written to and whose path has at most {SOCKET - BELOW} "
        f"bytes, the system's limit for sockets; none of {', '.join(SPARE)} can be.{set_to} Set TMPDIR to such a "
        "folder."
    )


def copy_logs(source: Path, target: Path) -> None:
    """Copy the files below `source`, links as links: never what they lead to."""
    for folder, subfolders, files in os.walk(source):
        there = target / Path(folder).relative_to(source)
        there.mkdir(parents=True, exist_ok=True)
        links = [name for name in subfolders if os.path.islink(os.path.join(folder, name))]
        for name in (*links, *files):
            _copy(Path(folder, name), there / name)


def _copy(file: Path, copy: Path) -> None:
    """Copy a regular file or a link in place of what an earlier start left; sockets and pipes stay where they are."""
    if copy.is_symlink():
        copy.unlink()
    if file.is_symlink():
        copy.unlink(missing_ok=True)
        copy.symlink_to(os.readlink(file))
    elif file.is_file():
        shutil.copy2(file, copy, follow_symlinks=False)
