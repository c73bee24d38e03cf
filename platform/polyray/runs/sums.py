"""sums.json: the sha256 of every file of a folder, by which a later start sees that it is whole."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from polyray.errors import InputError
from polyray.files.disk import disk
from polyray.formats import parse_json_object

SUMS = "sums.json"


def sums_of(folder: Path, leave_out: Sequence[str] = ()) -> dict[str, str]:
    """The sha256 of every file below `folder` but its sums.json, by the file's path in it.

    Args:
        leave_out: names of files and folders, at any depth, that are not looked at.
    """
    names = sorted(_files(folder, "", frozenset(leave_out)))
    return {name: disk().digest(folder / name) for name in names if name != SUMS}


def damage(folder: Path, leave_out: Sequence[str] = (), *, more: bool = False) -> str | None:
    """Description of how `folder` differs from its sums.json, None if it does not.

    Args:
        leave_out: as for `sums_of`.
        more: whether files that sums.json does not name are allowed.
    """
    try:
        expected = parse_json_object(disk().read(folder / SUMS).decode(), folder / SUMS)
    except (OSError, UnicodeDecodeError, InputError):
        return f"{SUMS} is missing or unreadable"
    actual = sums_of(folder, leave_out)
    names = expected.keys() if more else expected.keys() | actual.keys()
    odd = sorted(name for name in names if expected.get(name) != actual.get(name))
    return f"{odd[0]} is missing or altered" if odd else None


def _files(folder: Path, prefix: str, leave_out: frozenset[str]) -> Iterator[str]:
    for name in disk().names(folder):
        if name in leave_out:
            continue
        if disk().is_folder(folder / name):
            yield from _files(folder / name, f"{prefix}{name}/", leave_out)
        elif disk().is_file(folder / name):  # a pipe or a broken link has no content to sum
            yield f"{prefix}{name}"
