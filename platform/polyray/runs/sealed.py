"""JSON objects that carry the sha256 of their own fields."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.files import write_file
from polyray.formats import read_json_object


def seal(fields: Mapping[str, Any], key: str = "sha256") -> str:
    """`fields` as JSON text, with their sum as one more field called `key`."""
    values = json.loads(json.dumps(dict(fields)))  # as they are read again: keys are strings, tuples lists
    return json.dumps({**values, key: _sum(values)}, indent=1, ensure_ascii=False) + "\n"


def check_seal(fields: Mapping[str, Any], source: Path, key: str = "sha256") -> dict[str, Any]:
    """The fields without their sum, which is checked; source: their file, as the message names it.

    Raises:
        InputError: a field was altered, or there is no sum.
    """
    values = {name: value for name, value in fields.items() if name != key}
    if key not in fields:
        raise InputError(f"{source} has no sum of itself ({key}), so nothing shows that it is whole.")
    if fields[key] != _sum(values):
        raise InputError(f"{source} was altered: the sha256 of its fields is not its {key}.")
    return values


def write_sealed(file: Path, fields: Mapping[str, Any]) -> None:
    """Write `fields` and their sum, whole or not at all.

    Raises:
        StorageError: the disk refused.
    """
    write_file(file, seal(fields))


def read_sealed(file: Path) -> dict[str, Any]:
    """The fields that `write_sealed` wrote.

    Raises:
        InputError: the file is missing, cut short or altered.
    """
    return check_seal(read_json_object(file), file)


def _sum(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
