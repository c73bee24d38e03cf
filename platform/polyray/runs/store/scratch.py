"""Folders for working copies on this machine, which go with their processes."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polyray.runs.private_folder import private_folder

PREFIX, RUN = "polyray-store-", "run"  # the last one holds the folder


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A new empty folder `name` below TMPDIR, removed after the block; those of killed processes are removed before.

    Raises:
        InputError: there is no room for it.
    """
    with private_folder(PREFIX, Path(tempfile.gettempdir())) as home:
        folder = home / RUN / name
        folder.mkdir(parents=True)
        yield folder
