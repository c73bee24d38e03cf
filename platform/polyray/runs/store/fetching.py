"""A run or sweep behind a URL brought to a folder on this machine."""

from collections.abc import Callable
from pathlib import Path

from polyray.errors import InputError
from polyray.files import writing
from polyray.runs.store.part import Part
from polyray.runs.store.remote import open_remote
from polyray.runs.store.working import PARTS


def check_target(folder: Path) -> None:
    """Refuse a folder that holds something already.

    Raises:
        InputError: it does.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already. Choose another folder to fetch to.")


def fetch(url: str, folder: Path, announce: Callable[[str], object]) -> None:
    """Bring the newest states of all parts of the run behind `url` to the new `folder`, whole or not at all.

    Args:
        announce: shows a line to the user.

    Raises:
        InputError: there is no run, or the folder is there already and not empty.
        StorageError: the storage or the disk refused.
    """
    check_target(folder)
    top = open_remote(url)
    names = top.within(PARTS).names()
    with writing(folder) as unfinished:
        parts = [top, *(top.within(f"{PARTS}/{name}") for name in names)]
        there = [Part(remote, unfinished, announce=announce).restore() for remote in parts]
        if not there[0]:
            raise InputError(f"There is no run at {url}: nothing was published there yet.")
