"""JSON without what it leaves open: no key twice, no NaN, no half characters, no endless nesting."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.formats.text import read_document, read_lines

DEEPEST = 100  # levels of nesting
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_NO_BRACKETS = re.compile(r"[^\[\]{}]+")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:\n]')
_HALF_CHARACTER = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}|\\u[dD][c-fC-F][0-9a-fA-F]{2}")


class _RepeatedKeyError(Exception):
    """An object has a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise _RepeatedKeyError
    return values


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text:.40} is not finite")
    return value


def _integer(text: str) -> int:
    if len(text) > 1000:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_int=_integer, parse_constant=_number
)  # fmt: skip


def read_json_object(file: Path) -> dict[str, Any]:
    """The JSON object in `file`.

    Raises:
        InputError: the file cannot be read or holds no JSON object; the message names the line.
    """
    text = read_document(file)
    if not text.strip():
        raise InputError(f"{file} is empty; expected a JSON object.")
    return parse_json_object(text, file)


def parse_json_object(text: str, source: Path | str, first_line: int = 1) -> dict[str, Any]:
    """The JSON object spelled by `text`, which begins at `first_line` of `source`.

    Raises:
        InputError: it is not valid JSON or not an object, has a key twice, a number that is not finite, half a
            character (a lone surrogate), or more than 100 levels; the message names the line, of a key both lines.
    """
    where = f"{source}:{first_line}"
    try:
        value = _DECODER.decode(text)
    except _RepeatedKeyError:
        raise InputError(_repeated(text, source, first_line)) from None
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise InputError(f"{source}:{line}: not valid JSON: {error.msg} at column {error.colno}.") from None
    except RecursionError:
        raise InputError(f"{where}: the JSON is nested too deeply.") from None
    except ValueError as error:  # of the numbers
        raise InputError(f"{where}: not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(value).__name__}.")
    if _HALF_CHARACTER.search(text):
        _refuse_half_characters(text, source, first_line)
    if text.count("[") + text.count("{") > DEEPEST:
        _refuse_deep(text, where)
    return value


def read_json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON object in each line of a file, with its location FILE:LINE.

    Raises:
        InputError: the file cannot be read, or a line is blank or no JSON object, see `parse_json_object`.
    """
    for number, line in enumerate(read_lines(file), start=1):
        where = f"{file}:{number}"
        if not line.strip():
            raise InputError(f"{where}: the line is blank; expected a JSON object.")
        yield where, parse_json_object(line, file, number)


def _tokens(text: str, first_line: int) -> Iterator[tuple[str, int]]:
    """The strings and the marks [ ] { } : of a valid JSON text, each with its line."""
    line = first_line
    for match in _TOKEN.finditer(text):
        if match[0] == "\n":
            line += 1
        else:
            yield match[0], line


def _repeated(text: str, source: Path | str, first_line: int) -> str:
    """The message on the first key that an object has twice, with both lines."""
    objects: list[dict[str, int]] = []  # the open objects and, empty, the open lists: lines of their keys
    before = ("", first_line)
    for token, line in _tokens(text, first_line):
        if token in "{[":
            objects.append({})
        elif token in "}]":
            objects.pop()
        elif token == ":":
            key = json.loads(before[0])
            if key in objects[-1]:
                first = objects[-1][key]
                return (
                    f"{source}:{before[1]}: the key {key!r:.80} stands twice in one object"
                    f"{'' if first == before[1] else f', here and in line {first}'}. Keep one."
                )
            objects[-1][key] = before[1]
        before = (token, line)
    raise AssertionError("the parser has seen a repeated key")


def _refuse_half_characters(text: str, source: Path | str, first_line: int) -> None:
    for token, line in _tokens(text, first_line):
        if token.startswith('"'):
            try:
                json.loads(token).encode("utf-8")
            except UnicodeEncodeError as error:
                half = f"\\u{ord(error.object[error.start]):04x}"
                raise InputError(
                    f"{source}:{line}: {half} is half a character (a lone surrogate): write the whole character."
                ) from None


def _refuse_deep(text: str, where: str) -> None:
    brackets = _NO_BRACKETS.sub("", _STRING.sub("", text))
    for _ in range(DEEPEST):  # each round takes the innermost level away, as fast as C
        brackets = brackets.replace("[]", "").replace("{}", "")
    if brackets:
        raise InputError(f"{where}: the JSON is nested too deeply (more than {DEEPEST} levels).")
