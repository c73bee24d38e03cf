"""Archives for the nodes of a cluster: the same files give the same bytes, and so the same name, and travel once."""

import hashlib
import io
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from polyray.cluster.submission.server import UPLOAD_PATIENCE, JobServer, UnreachableError
from polyray.errors import InputError
from polyray.formats import opened
from polyray.formats.text import MEBI

RAY_LIMIT = 100 * MEBI  # bytes of a request that Ray's dashboard takes; no option changes it
LEFT_OUT = ("__pycache__", ".git")  # folders that nobody needs on a cluster
TIME, MODE = (1980, 1, 1, 0, 0, 0), 0o644  # of every file in an archive


def files_below(path: Path) -> Iterator[Path]:
    """The regular files in a folder and the folders in it, links followed, in order; a file is its own only one.

    Raises:
        InputError: there is something that is neither file nor folder, or a folder that cannot be listed.
    """
    if not path.is_dir():
        if not stat.S_ISREG(_status(path).st_mode):
            raise InputError(f"{path} is no regular file and cannot travel to a cluster.")
        yield path
        return
    seen = {os.path.realpath(path)}
    for folder, subfolders, names in os.walk(path, followlinks=True, onerror=_refuse):
        entered = []
        for name in sorted(subfolders):
            real = os.path.realpath(Path(folder, name))
            if name not in LEFT_OUT and real not in seen:
                entered.append(name)
                seen.add(real)
        subfolders[:] = entered
        for name in sorted(names):
            yield from files_below(Path(folder, name))


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None


def _refuse(error: OSError) -> None:
    raise InputError(f"Cannot read {error.filename}: {error.strerror}.")


def write_archive(files: Mapping[str, Path], target: IO[bytes]) -> None:
    """Write a zip archive of `files`, by their names in it, into a stream that can go back."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, TIME)
            entry.external_attr = MODE << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            with opened(files[name]) as stream, archive.open(entry, "w", force_zip64=True) as copy:
                shutil.copyfileobj(stream, copy, MEBI)


def packed(files: Mapping[str, Path]) -> bytes:
    """The bytes of such an archive."""
    buffer = io.BytesIO()
    write_archive(files, buffer)
    return buffer.getvalue()


def upload(server: JobServer, content: bytes) -> str:
    """Put an archive into the cluster's store, unless it is there already: its URI.

    Raises:
        InputError: it is larger than the cluster takes.
        RunError: the cluster failed.
    """
    name = f"_ray_pkg_{hashlib.sha256(content).hexdigest()[:40]}.zip"
    path = f"/api/packages/gcs/{name}"
    if (
        server.request("GET", path).status != HTTPStatus.OK
    ):  # asking keeps it there for ten minutes, also where it comes only now
        size = f"{len(content) / MEBI:.0f} MiB"
        try:
            answer = server.request("PUT", path, content, UPLOAD_PATIENCE)
        except UnreachableError as error:
            raise InputError(f"The connection ended while {size} were uploaded: {error}") from None
        if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise InputError(f"{urlsplit(server.address).netloc} takes no upload of {size}: {answer.reason}")
        if answer.status != HTTPStatus.OK:
            raise server.failure(answer, f"taking an upload of {size}")
    return f"gcs://{name}"
