"""Writing of files and folders that are whole or absent, whenever the process that writes them is killed."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; it replaces `folder` if the block ends well and is removed if it fails.

    Its name begins with a dot, so that a library does not list the remains of a killed process; the next process that
    writes `folder` removes them.
    """
    temporary = _beside(folder)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        before = temporary.with_name(f"{temporary.name}-before")
        if folder.exists():
            os.replace(folder, before)
        os.replace(temporary, folder)
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_file(file: Path, content: str | bytes) -> None:
    """Replace the content of `file` by `content` (text as UTF-8); a reader sees the old one or the new one, whole."""
    temporary = _beside(file)
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """Make a new name beside `path`, and remove the remains of killed processes under such names."""
    remains = re.compile(rf"\.writing-{re.escape(path.name)}-[0-9a-f]{{8}}(-before)?")
    for other in path.parent.glob(".writing-*"):
        if remains.fullmatch(other.name):
            shutil.rmtree(other) if other.is_dir() else other.unlink()
    return path.with_name(f".writing-{path.name}-{uuid4().hex[:8]}")
