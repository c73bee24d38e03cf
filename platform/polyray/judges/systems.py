"""Responses of several systems to the same examples, as JSON lines that any program can write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyray.config import Section
from polyray.errors import InputError
from polyray.formats import read_json_lines
from polyray.lookup import suggestion


class ResponseFields(Section):
    """Names of the fields of a line."""

    prediction: str = "prediction"
    """Response of the system, a text."""
    references: str = "outputs"
    """Accepted responses: a text, or a list of texts; the field may be absent."""
    knowledge: str = "knowledge"
    """Snippets that the response is to rest on: a text, or a list of texts; the field may be absent."""


@dataclass(frozen=True, kw_only=True)
class GroundedExample:
    """Texts that a response is compared with; location: FILE:LINE."""

    outputs: tuple[str, ...]
    knowledge: tuple[str, ...]
    location: str


Line = tuple[str, Mapping[str, Any]]  # FILE:LINE, and the object there


def read_systems(
    systems: Mapping[str, str], examples: str, fields: ResponseFields
) -> tuple[dict[str, list[str]], list[GroundedExample]]:
    """The responses of each system, and the examples that they all answer, line by line.

    Args:
        systems: file of each system by its name.
        examples: file with references and knowledge; empty: they stand beside the responses.

    Raises:
        InputError: a file is missing or malformed, or two files are not about the same examples.
    """
    if not systems:
        raise InputError("Give the files of one system or more: systems={NAME: FILE.jsonl}.")
    lines = {name: list[Line](read_json_lines(Path(file))) for name, file in systems.items()}
    predictions = {name: [_text(line, fields.prediction) for line in of_system] for name, of_system in lines.items()}
    truths = {"examples": list[Line](read_json_lines(Path(examples)))} if examples else lines
    compared = {name: [_example(line, fields) for line in of_file] for name, of_file in truths.items()}
    first = next(iter(compared.values()))
    for name, of_file in (compared | lines).items():
        if len(of_file) != len(first):
            raise InputError(
                f"{name}: found {len(of_file)} lines, where {next(iter(compared))} has {len(first)}; expected the same "
                "examples in the same order."
            )
    for of_file in compared.values():
        _check_same(first, of_file)
    return predictions, first


def _check_same(first: Sequence[GroundedExample], second: Sequence[GroundedExample]) -> None:
    for one, other in zip(first, second, strict=True):
        for what in ("outputs", "knowledge"):
            if vars(one)[what] != vars(other)[what]:
                raise InputError(
                    f"{other.location}: {what} are not those of {one.location}; systems are compared on the same "
                    "examples in the same order."
                )


def _text(line: Line, name: str) -> str:
    location, values = line
    if name not in values:
        raise InputError(f"{location}: no field is called {name!r} (fields.prediction). {suggestion(name, values)}")
    if not isinstance(values[name], str):
        raise InputError(f"{location}: expected the field {name!r} with a text, found {values[name]!r:.80}.")
    return str(values[name])


def _example(line: Line, fields: ResponseFields) -> GroundedExample:
    location, values = line
    return GroundedExample(
        outputs=_texts(location, values, fields.references), knowledge=_texts(location, values, fields.knowledge),
        location=location,
    )  # fmt: skip


def _texts(location: str, values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    texts = values.get(name, [])
    listed = [texts] if isinstance(texts, str) else texts
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise InputError(
            f"{location}: expected the field {name!r} with a text or a list of texts, found {texts!r:.80}."
        )
    return tuple(listed)
