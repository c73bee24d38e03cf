"""Folders that commands write."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polyray.errors import InputError


def refuse_taken(out: Path) -> None:
    """Refuse to write over what is there.

    Raises:
        InputError: there is something at `out`.
    """
    if out.exists():
        raise InputError(f"{out} is there already. Choose another folder.")


@contextmanager
def writing_to(out: Path) -> Iterator[None]:
    """Turn an error of the disk into one message; what is written is whole or absent.

    Raises:
        InputError: the disk refused.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"Cannot write {out}: {error.strerror}. Choose another folder.") from None
