"""Plain docstrings as reStructuredText, for the API reference.

What Sphinx would read as markup is escaped, such as the stars in [*batch, in]; indented formulas are shown as they are
written; Args, Returns, Yields and Raises become lists of fields.
"""

import re
from collections.abc import Iterable, Iterator

FIELDS = {"Args:": "param", "Raises:": "raises", "Returns:": "returns", "Yields:": "returns"}


def as_restructured_text(docstring: Iterable[str]) -> Iterator[str]:
    """Lines of reStructuredText that show the lines of a plain docstring.

    Raises:
        ValueError: a line under Args or Raises does not begin with a name and a colon.
    """
    field, literal = "", False
    for line in docstring:
        depth = len(line) - len(line.lstrip())
        if line in FIELDS:
            yield ""
            field, literal = FIELDS[line], False
        elif line and depth == 0:
            if field or literal:
                yield ""
            field, literal = "", False
            yield escape(line)
        elif field and depth == 4:
            yield entry(field, line.strip())
        elif depth >= 4 and not field:
            if not literal:
                yield from ("", "::", "")
            literal = True
            yield line
        else:
            yield escape(line)
    yield ""


def entry(field: str, text: str) -> str:
    """One argument, error or result as a field.

    Raises:
        ValueError: an argument or error without a name and a colon.
    """
    if field == "returns":
        return f":returns: {escape(text)}"
    name, colon, explanation = text.partition(": ")
    if not colon:
        raise ValueError(f"Under Args and Raises, a line must be `name: text`, not {text!r}.")
    names = name.replace(", ", ",")  # behind a space Sphinx expects the argument, and its type before it
    return f":{field} {names}: {escape(explanation)}"


def escape(text: str) -> str:
    """`text` without markup but for `code`; a backtick that has no second one in the line is shown as it is."""
    pieces = re.split(r"``?([^`]+)``?", text)
    plain = [re.sub(r"([*|\\`]|_(?=_*\b))", r"\\\1", piece) for piece in pieces[::2]]
    line = plain[0]
    for code, after in zip(pieces[1::2], plain[1:], strict=True):
        apart = "\\ " if re.match(r"[\w(\[{]", after) else ""  # what follows code at once is set apart
        line += f"``{code}``{apart}{after}"
    return line
