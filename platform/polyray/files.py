"""Files and folders that are there whole or not at all, whenever the process that writes them is killed."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """An empty folder to write into: it takes the place of `folder` if the block ends well, and goes if it fails.

    Its name begins with a dot, so that a library does not see what a killed process left; the next one that writes
    `folder` takes that away.
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
    """Let `file` hold `content` (text as UTF-8) instead of what it held."""
    temporary = _beside(file)
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A new name beside `path`; what killed processes left under such names is removed."""
    left = re.compile(rf"\.writing-{re.escape(path.name)}-[0-9a-f]{{8}}(-before)?")
    for other in path.parent.glob(".writing-*"):
        if left.fullmatch(other.name):
            shutil.rmtree(other) if other.is_dir() else other.unlink()
    return path.with_name(f".writing-{path.name}-{uuid4().hex[:8]}")
