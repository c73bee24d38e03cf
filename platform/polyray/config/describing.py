"""A config as commented YAML, and the names of its fields."""

from collections.abc import Mapping
from typing import Any

import yaml

from polyray.config.section import Choice, Section, sections


def describe_config(kind: type[Section]) -> str:
    """The defaults of `kind` as YAML with each field's documentation as a comment, ready to edit."""
    config = kind()
    return "\n".join(_section_lines(kind, config, config.model_dump(mode="json"), indent=0)) + "\n"


def field_names(kind: type[Section], prefix: str = "") -> list[str]:
    """All dotted names that an override of `kind` may set; of a choice those of all its entries."""
    names: list[str] = []
    inner = dict(sections(kind))
    for name in kind.model_fields:
        if name in inner:
            names += field_names(inner[name], f"{prefix}{name}.")
            if name in kind.selectors:
                names.remove(f"{prefix}{name}.kind")
        elif issubclass(kind, Choice) and name == "options":
            options = dict.fromkeys(n for entry in kind.table.values() for n in field_names(entry.Options, prefix))
            names += options
        else:
            names.append(prefix + name)
    return names


def _section_lines(kind: type[Section], config: Section, values: Mapping[str, Any], indent: int) -> list[str]:
    lines: list[str] = []
    pad = "  " * indent
    inner = dict(sections(kind))
    for name, field in kind.model_fields.items():
        if name == "options" and isinstance(config, Choice):
            lines += _section_lines(type(config.options), config.options, values, indent)
            continue
        if name not in values:
            continue  # a choice's kind that stands beside it
        lines += _comment(field.description, pad)
        if name in inner:
            section = vars(config)[name]
            lines += [f"{pad}{name}:" if values[name] else f"{pad}{name}: {{}}"]
            lines += _section_lines(inner[name], section, values[name], indent + 1)
        else:
            lines.append(f"{pad}{_yaml(name, values[name])}")
    if isinstance(config, Choice):
        lines += _other_entries(config, pad)
    return lines


def _other_entries(choice: Choice, pad: str) -> list[str]:
    """The options of the entries that are not chosen, commented out; those that the chosen one has too are left out."""
    lines: list[str] = []
    shown = set(type(choice.options).model_fields)
    names: dict[type[Section], list[str]] = {}
    for name, entry in choice.table.items():
        names.setdefault(entry.Options, []).append(name)
    for options, entries in names.items():
        fields = {key: field for key, field in options.model_fields.items() if key not in shown}
        if not fields:
            continue
        defaults = options().model_dump(mode="json")
        lines.append(f"{pad}# With {' or '.join(entries)}:")
        for key, field in fields.items():
            lines += _comment(field.description, f"{pad}#   ")
            lines.append(f"{pad}#   {_yaml(key, defaults[key])}")
    return lines


def _comment(description: str | None, pad: str) -> list[str]:
    return [f"{pad}# {line.strip()}" for line in (description or "").strip().splitlines()]


class _OneLine(yaml.SafeDumper):
    """Writes a text of several lines in double quotes, on one line."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\n" in text else None)


_OneLine.add_representer(str, _quoted)


def _yaml(name: str, value: Any) -> str:
    text = yaml.dump({name: value}, Dumper=_OneLine, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.strip()[1:-1]
