"""The cluster's side of `polyray fetch`: a folder on a node's own disk, written to the log of a job, line by line.

Ray's job API has one way back, a job's log. The first line names the size and the sum of an archive, the others are its
bytes in base64.
"""

import base64
import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from polyray.cluster.submission.archive import files_below, write_archive
from polyray.errors import InputError, PolyrayError
from polyray.files import is_remains
from polyray.formats.text import MEBI

HEADER, DATA = "polyray-archive", "="  # beginnings of lines
LINE = 192 * 1024  # bytes of the archive in a line
NOT_SENT = (".lock",)


def run_files(folder: Path) -> dict[str, Path]:
    """The files of a run or sweep that are worth bringing home, by their names below its folder.

    Raises:
        InputError: there is no such folder, or something in it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder} on the node {os.uname().nodename}.")
    files = {}
    for file in files_below(folder):
        steps = file.relative_to(folder).parts
        if steps[-1] not in NOT_SENT and not any(map(is_remains, steps)):
            files["/".join(steps)] = file
    return files


def send(folder: Path, limit: int, target: IO[str]) -> None:
    """Write an archive of the run in `folder` as lines of text.

    Args:
        limit: bytes that its files may have together.

    Raises:
        InputError: there is no such folder, or it is larger.
    """
    files = run_files(folder)
    size = sum(file.stat().st_size for file in files.values())
    if size > limit:
        raise InputError(
            f"{folder} holds {size / MEBI:.0f} MiB, and at most {limit / MEBI:.0f} MiB come home through the log of a "
            "job. Raise --limit, or copy the folder yourself; with --out of a URL or a shared folder neither is needed."
        )
    with tempfile.TemporaryFile() as archive:
        write_archive(files, archive)
        archive.seek(0)
        digest = hashlib.file_digest(archive, "sha256").hexdigest()
        target.write(f"{HEADER} {archive.tell()} {digest}\n")
        archive.seek(0)
        while block := archive.read(LINE):
            target.write(f"{DATA}{base64.b64encode(block).decode()}\n")
    target.flush()


def main(arguments: Sequence[str]) -> None:
    """Send the folder that the first argument names, of at most as many bytes as the second one says."""
    folder, limit = arguments
    try:
        send(Path(folder), int(limit), sys.stdout)
    except PolyrayError as error:
        sys.stderr.write(f"polyray: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(sys.argv[1:])
