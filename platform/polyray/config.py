"""One frozen, validated config from defaults, a YAML file, `section.key=value` overrides and a sweep's trial."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from polyray.errors import InputError


class Section(BaseModel):
    """A frozen group of fields: unknown fields are refused, the string under a field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)


AConfig = TypeVar("AConfig", bound=Section)


def load_config(
    kind: type[AConfig], file: Path | None = None, overrides: Sequence[str] = (), trial: Mapping[str, Any] | None = None
) -> AConfig:
    """The config of type `kind`: its defaults, then `file`, then `overrides` ("training.lr=1e-3"), then `trial`.

    `trial` maps dotted names to values, as Ray Tune hands them out.

    Raises:
        InputError: the file or an override cannot be read, names an unknown field, or has a value of the wrong type;
            the message says in which file and line.
    """
    values, lines = _read_yaml(file) if file is not None else ({}, {})
    origin = {name: f"{file}:{line}" for name, line in lines.items()}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise InputError(f"Cannot read {override!r}: an override is written section.key=value.")
        _put(values, name, _scalar(text, override))
        origin[name] = f"command line, {override!r}"
    for name, value in (trial or {}).items():
        _put(values, name, value)
        origin[name] = "trial"
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(_explain(error, kind, origin)) from None


def dump_config(config: Section) -> str:
    """`config` as YAML that `load_config` reads back to an equal config."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def describe_config(kind: type[Section]) -> str:
    """The defaults of `kind` as YAML with each field's documentation as a comment, ready to edit."""
    return "\n".join(_described(kind, kind().model_dump(mode="json"), indent=0)) + "\n"


def field_names(kind: type[Section], prefix: str = "") -> list[str]:
    """All dotted names that an override of `kind` may set."""
    names: list[str] = []
    for name, field in kind.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            names += field_names(annotation, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def _described(kind: type[Section], values: Mapping[str, Any], indent: int) -> list[str]:
    lines: list[str] = []
    pad = "  " * indent
    for name, field in kind.model_fields.items():
        for line in (field.description or "").strip().splitlines():
            lines.append(f"{pad}# {line.strip()}")
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            lines += [f"{pad}{name}:", *_described(annotation, values[name], indent + 1)]
        else:
            text = yaml.safe_dump({name: values[name]}, default_flow_style=True, allow_unicode=True, width=10**6)
            lines.append(pad + text.strip()[1:-1])
    return lines


def _read_yaml(file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the config {file}: {error}") from None
    try:
        values = yaml.safe_load(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InputError(f"{file} is not valid YAML: {error}") from None
    if values is None:
        return {}, {}
    if not isinstance(values, dict) or not isinstance(node, yaml.MappingNode):
        raise InputError(f"{file}:1 must hold `field: value` pairs, found {type(values).__name__}.")
    return values, dict(_lines(node, ""))


def _lines(node: yaml.MappingNode, prefix: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        found.append((name, key.start_mark.line + 1))
        if isinstance(value, yaml.MappingNode):
            found += _lines(value, f"{name}.")
    return found


def _scalar(text: str, override: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"Cannot read the value in {override!r}: it is not valid YAML.") from None
    if isinstance(value, str):  # YAML 1.1 reads 1e-3 as a word, everybody else as a number
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    *sections, last = name.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise InputError(f"Cannot set {name!r}: {section!r} is already a value, not a section.")
        values = inner
    values[last] = value


def _explain(error: ValidationError, kind: type[Section], origin: Mapping[str, str]) -> str:
    known = field_names(kind)
    messages = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        at = next((origin[key] for key in (name, *_parents(name)) if key in origin), "default")
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
            messages.append(f"No field is called {name!r} ({at}).{hint}")
        else:
            told = problem["msg"].removeprefix("Value error, ")
            messages.append(f"{name} = {problem['input']!r} ({at}): {told}")
    return "\n".join(messages)


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(len(parts) - 1, 0, -1)]
