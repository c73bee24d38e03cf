"""Names that users give to tasks, and the files that carry them."""

import hashlib
import unicodedata
from urllib.parse import quote

from polyray.errors import InputError

LONGEST = 150  # bytes of a name in a file's name; file systems take 255, and more is added to it
UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # categories of Unicode: control characters, half characters, line separators


def check_name(name: str, noun: str) -> None:
    """Refuse a name that is blank or would break a line.

    Args:
        noun: the word for what is named ("task").

    Raises:
        InputError: that is so.
    """
    if not name.strip():
        raise InputError(f"A {noun} needs a name, found {name!r}.")
    odd = [letter for letter in name if unicodedata.category(letter) in UNPRINTABLE]
    if odd:
        raise InputError(f"The name {name!r:.80} of a {noun} holds the character {odd[0]!r}: choose a printable name.")


def file_name(name: str) -> str:
    """`name` as the name of a file: most names as they are, those that would lead elsewhere or are too long changed.

    / \\ % and a dot or dash at the beginning are written as in a URL; a long name is cut and told apart by its sha256.
    Different names give different files.
    """
    safe = "".join(quote(letter, safe="") if letter in "/\\%" else letter for letter in name)
    if safe[:1] in (".", "-"):
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    content = safe.encode()
    if len(content) <= LONGEST:
        return safe
    return f"{content[:LONGEST].decode(errors='ignore')}-{hashlib.sha256(content).hexdigest()[:16]}"
