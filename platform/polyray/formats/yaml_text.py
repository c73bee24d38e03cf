"""YAML for configs: each field once, scalars as they are written, aliases and nesting bounded."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from polyray.errors import InputError
from polyray.formats.text import MEBI, read_document

DEEPEST = 50  # levels of nesting
MOST_VALUES = 100_000  # of a document, those that aliases repeat counted each time
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader  # the former is ten times faster
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {"": None, "~": None, "null": None, "true": True, "false": False, ".inf": float("inf"), ".nan": float("nan")}


class Plain(str):
    """A scalar that was written without quotes: text or number, as the field that it is for wants it."""

    __slots__ = ()

    @property
    def value(self) -> Any:
        """The number, boolean or null that YAML 1.2 sees in it, else the text (`on` and 2024-01-01 are texts).

        Raises:
            ValueError: it is a number of more than 1,000 digits.
        """
        if len(self) > 1000 and _INTEGER.fullmatch(self):
            raise ValueError(f"a number of {len(self)} digits is too long")
        if _INTEGER.fullmatch(self):
            return int(self, 0) if self.startswith(("0o", "0x")) else int(self)
        if _FLOAT.fullmatch(self):
            return float(self)
        if self in ("-.inf", "-.Inf", "-.INF"):
            return -float("inf")
        lower = self.lower()
        return _SPECIAL[lower] if lower in _SPECIAL and self in (lower, lower.title(), lower.upper()) else str(self)


class Typed(Plain):
    """The text behind the = of an override."""

    __slots__ = ()


@dataclass(kw_only=True)
class YamlDocument:
    """The content of a YAML text: dicts, lists, quoted scalars as str, others as Plain.

    lines: of each field by its dotted name.
    """

    content: Any = None
    lines: dict[str, int] = field(default_factory=dict)

    def resolved(self) -> Any:
        """The content with a number, boolean or null for each Plain that spells one.

        Raises:
            InputError: a number has more than 1,000 digits.
        """
        try:
            return _resolved(self.content)
        except ValueError as error:
            raise InputError(f"Cannot read a value: {error}.") from None


def _resolved(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _resolved(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_resolved(value) for value in content]
    return content.value if isinstance(content, Plain) else content


def read_yaml(file: Path) -> YamlDocument:
    """The YAML document in `file`.

    Raises:
        InputError: the file cannot be read, or `parse_yaml` refuses it.
    """
    return parse_yaml(read_document(file, MEBI), file)


def parse_yaml(text: str, source: Path | str) -> YamlDocument:
    """The YAML document that `text` holds; `source` stands in messages.

    Raises:
        InputError: it is not valid YAML, a field stands twice (the message gives both lines), a tag asks for another
            type, an alias contains itself, or there is too much of nesting or of repeated aliases.
    """
    try:
        return _Composer(text, source).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise InputError(f"{source}{line} is not valid YAML: {error.problem or error.context}.") from None
    except yaml.YAMLError as error:  # a character that YAML forbids
        raise InputError(f"{source} is not valid YAML: {' '.join(str(error).split())}.") from None


@dataclass(frozen=True)
class _Node:
    """A value, and how many values it holds."""

    value: Any
    size: int


class _Composer:
    """The values of one YAML text from the parser's events."""

    def __init__(self, text: str, source: Path | str) -> None:
        self._source = source
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, _Node] = {}
        self._lines: dict[str, int] = {}

    def document(self) -> YamlDocument:
        """The only document of the text; content None where it is empty."""
        next(self._events)  # the stream starts
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return YamlDocument()
        node = self._node(next(self._events), "", 1)
        next(self._events)  # the document ends
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._refusal(event, "a second document begins here; expected one")
        return YamlDocument(content=node.value, lines=self._lines)

    def _node(self, event: Any, name: str, depth: int) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise self._refusal(event, f"the alias *{event.anchor} names no value that is complete here")
            return self._anchors[event.anchor]
        if event.tag not in (None, "!") and not (event.tag == "tag:yaml.org,2002:str"):
            raise self._refusal(event, f"the tag {event.tag} is not read; write the value without it")
        if depth > DEEPEST:
            raise self._refusal(event, f"the YAML is nested too deeply (more than {DEEPEST} levels)")
        if isinstance(event, yaml.ScalarEvent):
            node = _Node(self._scalar(event), 1)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(name, depth)
        else:
            node = self._mapping(name, depth)
        if node.size > MOST_VALUES:
            raise self._refusal(event, f"more than {MOST_VALUES} values, aliases written out")
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _scalar(self, event: Any) -> str:
        try:
            event.value.encode("utf-8")
        except UnicodeEncodeError:
            raise self._refusal(event, "half a character (a lone surrogate): write the whole character") from None
        plain = event.style in (None, "") and event.tag is None
        return Plain(event.value) if plain else str(event.value)

    def _sequence(self, name: str, depth: int) -> _Node:
        nodes: list[_Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            inner = f"{name}.{len(nodes)}"
            self._lines[inner] = _line(event)
            nodes.append(self._node(event, inner, depth + 1))
        return _Node([node.value for node in nodes], 1 + sum(node.size for node in nodes))

    def _mapping(self, name: str, depth: int) -> _Node:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        size = 1
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._refusal(event, "expected the name of a field")
            key, line = str(self._scalar(event)), _line(event)
            if key in lines:
                raise self._refusal(
                    event, f"the field {key!r:.80} stands twice, here and in line {lines[key]}; keep one"
                )
            inner = f"{name}.{key}" if name else key
            lines[key] = self._lines[inner] = line
            node = self._node(next(self._events), inner, depth + 1)
            values[key] = node.value
            size += 1 + node.size
        return _Node(values, size)

    def _refusal(self, event: Any, message: str) -> InputError:
        return InputError(f"{self._source}:{_line(event)}: {message}.")


def _line(event: Any) -> int:
    line: int = event.start_mark.line  # from 0
    return line + 1
