"""Overrides from a command line, `section.key=value`: each value is exactly what was typed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from polyray.config.describing import field_names
from polyray.config.section import Choice, Section, sections
from polyray.config.values import is_text
from polyray.errors import InputError
from polyray.formats import Typed, parse_yaml
from polyray.lookup import suggestion


def parse_override(kind: type[Section], override: str) -> tuple[str, Any]:
    """Dotted name and value of `override`: for a field that holds a text all behind the =, else a scalar or YAML.

    Raises:
        InputError: it is not written section.key=value, holds half a character, or its list is not valid YAML.
    """
    name, equals, text = override.partition("=")
    if not equals or not all(name.split(".")):
        near = suggestion(name.strip("."), field_names(kind)) if name.strip(".") and equals else ""
        raise InputError(f"Cannot read {override!r}: an override is written section.key=value. {near}".rstrip())
    try:
        override.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"Cannot read {override!r}: it is not valid UTF-8.") from None
    annotations = list(_annotations(kind, name.split(".")))
    if any(is_text(annotation) for annotation in annotations) or not text.lstrip().startswith(("[", "{", '"', "'")):
        return name, Typed(text)
    return name, _flow(text, override)


def _flow(text: str, override: str) -> Any:
    """The list, mapping or quoted text that `text` spells in YAML."""
    try:
        return parse_yaml(text, "line").content
    except InputError as error:
        raise InputError(
            f"Cannot read the value in {override!r}: {str(error).removeprefix('line:1: ').removeprefix('line:1 ')} "
            'Inside a list, quote texts that begin with a sign: ["*.q_proj", b].'
        ) from None


def _annotations(kind: type[Section], steps: Sequence[str]) -> Iterator[Any]:
    """The types of the field that `steps` name; of a choice, those of all its entries; none where there is none."""
    name, rest = steps[0], steps[1:]
    inner = dict(sections(kind))
    if name in inner and rest:
        yield from _annotations(inner[name], rest)
    elif name in kind.model_fields:
        yield from _inside(kind.model_fields[name].annotation, rest)
    if issubclass(kind, Choice):
        entries: Mapping[str, Any] = kind.table
        for options in dict.fromkeys(entry.Options for entry in entries.values()):
            if name in options.model_fields:
                yield from _annotations(options, steps)


def _inside(annotation: Any, steps: Sequence[str]) -> Iterator[Any]:
    """The type that `steps` lead to inside a mapping whose values are of one type."""
    if not steps:
        yield annotation
    elif get_origin(annotation) is dict:
        values = get_args(annotation)[1]
        if isinstance(values, type) and issubclass(values, Section) and steps[1:]:
            yield from _annotations(values, steps[1:])
        else:
            yield from _inside(values, steps[1:])
