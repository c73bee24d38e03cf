"""Text files: regular files only, UTF-8, read in pieces that are bounded."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from itertools import chain
from pathlib import Path

from polyray.errors import InputError

MEBI = 2**20
LONGEST_LINE = 4 * MEBI  # bytes
LARGEST_DOCUMENT = 8 * MEBI  # bytes of a file that is read as a whole
BOM = "\ufeff"


def user_path(text: str) -> Path:
    """The path that a user wrote, a leading ~ replaced by the home folder where there is one."""
    return Path(os.path.expanduser(text))  # pathlib's own raises RuntimeError for an unknown user


def check_path(path: Path, advice: str) -> None:
    """Refuse a path at which nothing can be: a name is too long, holds a null character or is not UTF-8.

    Args:
        advice: the end of the message.

    Raises:
        InputError: that is so.
    """
    try:
        str(path).encode("utf-8")
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except UnicodeEncodeError:
        problem = "it is not UTF-8"
    except OSError as error:
        problem = str(error.strerror)
    except ValueError as error:  # a null character
        problem = str(error)
    else:
        return
    raise InputError(f"Cannot use the path {str(path)!r:.200}: {problem}. {advice}")


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; a name that no file system takes is none."""
    return os.path.isdir(path)  # pathlib's own raises OSError for a name that is too long


def is_file(path: Path) -> bool:
    """Whether `path` is a regular file; a name that no file system takes is none."""
    return os.path.isfile(path)  # as above


def is_there(path: Path) -> bool:
    """Whether there is anything at `path`: also a folder or a pipe, which reading it as a file will refuse."""
    return os.path.lexists(path)


def entries(folder: Path) -> list[Path]:
    """Files and folders in `folder` in the order of their names, without hidden ones (.git, .DS_Store).

    Raises:
        InputError: the folder cannot be read, or a name is not UTF-8.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise InputError(f"Cannot read the folder {folder}: {error.strerror}.") from None
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise InputError(f"{folder} holds the name {name!r}, which is not UTF-8: rename it.") from None
    return [folder / name for name in names]


@contextmanager
def opened(file: Path) -> Iterator[BufferedReader]:
    """The bytes of a regular file; a pipe or a device is refused without waiting for it.

    Raises:
        InputError: there is no such file, it is not a regular file, or it cannot be read.
    """
    try:
        with open(file, "rb", opener=_open_regular) as stream:
            yield stream
    except OSError as error:
        raise InputError(f"Cannot read {file}: {error.strerror}.") from None
    except ValueError as error:  # a null character in the name
        raise InputError(f"Cannot read {str(file)!r}: {error}.") from None


def _open_regular(file: str, flags: int) -> int:
    """Opener for `open`: without O_NONBLOCK a pipe would wait for its other end."""
    descriptor = os.open(file, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise InputError(f"Cannot read {file}: it is {_kind(mode)}; expected a regular file.")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def read_lines(file: Path) -> Iterator[str]:
    """The lines of a UTF-8 text without their ends.

    Windows line ends, a byte order mark and blank lines at the end, as editors write them, are dropped too.

    Raises:
        InputError: the file cannot be read, is empty, or has a line that is no UTF-8 text, longer than 4 MiB, or
            in two by a carriage return; the message names the line.
    """
    n_lines = n_blank = 0  # lines that were yielded, and blank ones since then
    for number, content in enumerate(chain.from_iterable(_pieces(file)), start=1):
        if len(content) > LONGEST_LINE:
            raise InputError(f"{file}:{number}: the line is longer than {LONGEST_LINE // MEBI} MiB.")
        text = _decoded(content.removesuffix(b"\n"), file, number)
        line = (text.removeprefix(BOM) if number == 1 else text).removesuffix("\r")
        if "\r" in line:
            raise InputError(f"{file}:{number}: a carriage return inside the line. Save with line ends of Unix.")
        if line.strip(" "):
            yield from [""] * n_blank
            yield line
            n_lines, n_blank = number, 0
        else:
            n_blank += 1
    if not n_lines:
        raise InputError(f"{file} is empty; expected one example a line.")


def _pieces(file: Path) -> Iterator[list[bytes]]:
    """The lines of `file`, a mebibyte of them at a time; while one is worked on the file is closed.

    A reader that stops at a wrong line leaves nothing open.
    """
    offset, lines = 0, [b""]
    while lines:
        lines, size = [], 0
        with opened(file) as stream:
            stream.seek(offset)
            while size < MEBI and (line := stream.readline(LONGEST_LINE + 1)):
                lines.append(line)
                size += len(line)
            offset = stream.tell()
        yield lines


def read_document(file: Path, limit: int = LARGEST_DOCUMENT) -> str:
    """The whole UTF-8 text in `file`, without a byte order mark.

    Args:
        limit: bytes at most.

    Raises:
        InputError: the file cannot be read, is larger than `limit`, or is no UTF-8 text; the message names the line.
    """
    with opened(file) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise InputError(f"{file} is larger than {limit // MEBI} MiB; it cannot be what is expected here.")
    return _decoded(content, file, 1).removeprefix(BOM)


def _decoded(content: bytes, file: Path, first_line: int) -> str:
    """`content` as UTF-8; it begins at `first_line` of `file`."""
    null = content.find(b"\0")
    if null >= 0:
        line = first_line + content.count(b"\n", 0, null)
        raise InputError(f"{file}:{line}: a null byte, which no text holds. Save the file as UTF-8.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first_line + content.count(b"\n", 0, error.start)
        raise InputError(
            f"{file}:{line}: the byte 0x{content[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        ) from None
