"""Fields of JSON values, checked: one message with the location of what is wrong."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.formats import parse_json_object, read_document

LARGEST = 2**29  # bytes of a file


def json_value(file: Path) -> Any:
    """The JSON value in `file`, which need not be an object.

    Raises:
        InputError: the file cannot be read, or is no valid JSON; the message names the line.
    """
    text = read_document(file, LARGEST)
    if not text.strip():
        raise InputError(f"{file} is empty; expected JSON.")
    return parse_json_object(f'{{"value": {text}\n}}', file)["value"]


def json_list(file: Path) -> list[Any]:
    """The JSON list in `file`.

    Raises:
        InputError: as `json_value`, or it is no list.
    """
    value = json_value(file)
    if not isinstance(value, list):
        raise InputError(f"{file}: expected a list, found {type(value).__name__}.")
    return value


def fields_of(value: Any, where: str) -> dict[str, Any]:
    """`value` itself, an object.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, found {value!r:.80}.")
    return value


def text_in(values: Mapping[str, Any], field: str, where: str) -> str:
    """The text in a field.

    Raises:
        InputError: there is none, or it is blank.
    """
    value = values.get(field)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: expected the field {field!r} with a text, found {value!r:.80}.")
    return value


def list_in(values: Mapping[str, Any], field: str, where: str) -> list[Any]:
    """The list in a field.

    Raises:
        InputError: there is none.
    """
    value = values.get(field)
    if not isinstance(value, list):
        raise InputError(f"{where}: expected the field {field!r} with a list, found {value!r:.80}.")
    return value


def texts_in(values: Mapping[str, Any], field: str, where: str) -> tuple[str, ...]:
    """The texts in the list in a field.

    Raises:
        InputError: there is no list, or a member is no text.
    """
    texts = list_in(values, field, where)
    wrong = next((text for text in texts if not isinstance(text, str) or not text.strip()), None)
    if wrong is not None:
        raise InputError(f"{where}: expected texts in the list {field!r}, found {wrong!r:.80}.")
    return tuple(texts)


def objects_in(values: Mapping[str, Any], field: str, where: str, noun: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Location and fields of each object of the list in a field, counted from 1 with the word `noun`.

    Raises:
        InputError: there is no list, or a member is no object.
    """
    for number, value in enumerate(list_in(values, field, where), start=1):
        location = f"{where}, {noun} {number}"
        yield location, fields_of(value, location)
