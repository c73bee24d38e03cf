"""A space out of a YAML file: its goal, and for each field a range, a line of documentation and conditions."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from polyray.errors import InputError
from polyray.formats import Plain, YamlDocument, parse_yaml, read_yaml
from polyray.lookup import suggestion
from polyray.sweeps.fields import FIELDS, Field, Value, as_value
from polyray.sweeps.schedulers import SCHEDULERS
from polyray.sweeps.searchers import SEARCHERS
from polyray.sweeps.space import MODES, Goal, Space

ENTRIES = ("about", "job", "goal", "mode", "searcher", "scheduler", "settings", "fields")  # of a space
LONGEST_NAME, LONGEST_TEXT = 200, 1000  # characters
BESIDE = ("about", "only_with", "step")  # of a field, beside its range
STEPPED = tuple(keyword for keyword, kind in FIELDS.items() if kind.stepped)

Entry = TypeVar("Entry")


def read_space(file: Path) -> Space:
    """The space that a file describes.

    Raises:
        InputError: the file cannot be read, or says what no space has; the message names file and line.
    """
    return _Reader(read_yaml(file), str(file)).space()


def parse_space(text: str, source: str) -> Space:
    """The space that a YAML text describes; `source` stands in messages.

    Raises:
        InputError: as `read_space`.
    """
    return _Reader(parse_yaml(text, source), source).space()


class _Reader:
    """The space in one YAML document."""

    def __init__(self, document: YamlDocument, source: str) -> None:
        self._content, self._lines, self._source = document.content, document.lines, source

    def space(self) -> Space:
        """All of it."""
        entries = self._mapping(self._content, "", "the entries of a space")
        self._check_entries(entries, ENTRIES, "", "entry of a space")
        fields = self._mapping(entries.get("fields", {}), "fields", "the names of fields and their ranges")
        if not fields:
            raise self._refusal("fields", "a space needs `fields`, the names of fields and their ranges")
        settings = self._mapping(entries.get("settings", {}), "settings", "the names of fields and their values")
        return Space(
            about=self._text(entries, "about", ""),
            job=self._text(entries, "job", ""),
            goal=Goal(self._text(entries, "goal", "mean"), self._entry(entries, "mode", MODES, "max")),
            searcher=self._entry(entries, "searcher", {name: name for name in SEARCHERS}, "tpe"),
            scheduler=self._entry(entries, "scheduler", {name: name for name in SCHEDULERS}, "none"),
            settings={
                name: self._value(self._setting(name, content)["value"], f"settings.{name}.value", f"settings.{name}")
                for name, content in settings.items()
            },
            settings_only_with={
                name: self._conditions(content["only_with"], f"settings.{name}.only_with")
                for name, content in settings.items()
                if isinstance(content, dict) and "only_with" in content
            },
            fields={name: self._field(f"fields.{name}", name, content) for name, content in fields.items()},
            origins={
                name: self._at(f"{section}.{name}")
                for section, names in (("settings", settings), ("fields", fields))
                for name in names
            },
        )

    def _setting(self, name: str, content: Any) -> Mapping[str, Any]:
        """The entries of a setting, which may be its value alone."""
        if not isinstance(content, dict):
            return {"value": content}
        path = f"settings.{name}"
        self._check_entries(content, ("value", "only_with"), f"{path}.", "entry of a setting")
        if "value" not in content:
            raise self._refusal(path, f"the setting {name} needs a `value`")
        return content

    def _field(self, path: str, name: str, content: Any) -> Field:
        entries = self._mapping(content, path, f"a range of {name}, such as {{choice: [a, b]}}")
        keywords = [entry for entry in entries if entry in FIELDS]
        if not keywords and entries and all(isinstance(inner, dict) for inner in entries.values()):
            dotted = f"{name}.{next(iter(entries))}"
            raise self._refusal(path, f"names of fields are written with dots, {dotted}: ..., not nested")
        self._check_entries(entries, (*FIELDS, *BESIDE), f"{path}.", f"kind of range, for {name}")
        if len(keywords) != 1:
            wrong = " and ".join(keywords) or "none"
            raise self._refusal(path, f"{name} needs one kind of range ({', '.join(FIELDS)}), found {wrong}")
        beside = {
            "about": self._text(entries, "about", "", f"{path}."),
            "only_with": self._conditions(entries.get("only_with", {}), f"{path}.only_with"),
        }
        build = self._range(keywords[0], entries, path)
        try:
            return build(**beside)
        except InputError as error:
            raise self._refusal(f"{path}.{keywords[0]}", f"{name}: {error}") from None

    def _range(self, keyword: str, entries: Mapping[str, Any], path: str) -> Callable[..., Field]:
        """The field of that kind, but for its documentation and conditions."""
        kind, at = FIELDS[keyword], f"{path}.{keyword}"
        build: Callable[..., Field] = kind
        values = self._values(entries[keyword], at)
        if "step" in entries and not kind.stepped:
            raise self._refusal(f"{path}.step", f"`{keyword}` has no step; those that have one: {', '.join(STEPPED)}")
        if kind.listed:
            return partial(build, values)
        step = [self._value(entries["step"], f"{path}.step")] if "step" in entries else []
        numbers = [
            value for value in (*values, *step) if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        if len(values) != 2 or len(numbers) != len(values) + len(step):
            raise self._refusal(at, f"`{keyword}` takes two numbers, the ends: [low, high]")
        return partial(build, *numbers)

    def _conditions(self, content: Any, path: str) -> dict[str, tuple[Value, ...]]:
        fields = self._mapping(content, path, "other fields and the values with which this one is read")
        return {name: self._values(values, f"{path}.{name}") for name, values in fields.items()}

    def _values(self, content: Any, path: str) -> tuple[Value, ...]:
        """A list of values; one that stands alone is a list of one."""
        listed = content if isinstance(content, list) else [content]
        return tuple(self._value(item, f"{path}.{index}", path) for index, item in enumerate(listed))

    def _value(self, content: Any, *paths: str) -> Value:
        try:
            return as_value(_plain(content))
        except (InputError, ValueError) as error:
            raise self._refusal(next((path for path in paths if path in self._lines), ""), str(error)) from None

    def _mapping(self, content: Any, path: str, noun: str) -> Mapping[str, Any]:
        if not isinstance(content, dict):
            raise self._refusal(path, f"expected {noun}")
        for name in content:
            if len(name) > LONGEST_NAME:
                raise self._refusal(f"{path}.{name}".strip("."), f"no field has so long a name: {name:.60}")
        return content

    def _check_entries(self, entries: Iterable[str], allowed: Collection[str], prefix: str, noun: str) -> None:
        for entry in entries:
            if entry not in allowed:
                raise self._refusal(
                    f"{prefix}{entry}", f"no {noun} is called {entry!r:.80}. {suggestion(entry, allowed)}"
                )

    def _text(self, entries: Mapping[str, Any], name: str, default: str, prefix: str = "") -> str:
        content = entries.get(name, default)
        if not isinstance(content, str):
            raise self._refusal(f"{prefix}{name}", f"{name} is one text")
        if len(content) > LONGEST_TEXT:
            raise self._refusal(f"{prefix}{name}", f"{name} has more than {LONGEST_TEXT} characters")
        return str(content) or default

    def _entry(self, entries: Mapping[str, Any], name: str, table: Mapping[str, Entry], default: str) -> Entry:
        """The entry of a table that `name` names."""
        chosen = self._text(entries, name, default)
        if chosen not in table:
            raise self._refusal(name, f"no {name} is called {chosen!r:.80}. {suggestion(chosen, table)}")
        return table[chosen]

    def _at(self, path: str) -> str:
        return f"{self._source}:{self._lines.get(path, 1)}"

    def _refusal(self, path: str, message: str) -> InputError:
        return InputError(f"{self._at(path)}: {message}{'' if message.endswith('.') else '.'}")


def _plain(content: Any) -> Any:
    """`content` with numbers and booleans for what spells them."""
    if isinstance(content, list):
        return [_plain(item) for item in content]
    return content.value if isinstance(content, Plain) else content
