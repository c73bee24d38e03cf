"""A space as the YAML that `parse_space` reads back to an equal one."""

from collections.abc import Mapping
from typing import Any

import yaml

from polyray.formats import Plain
from polyray.sweeps.fields import Field, Value
from polyray.sweeps.space import Space


def dump_space(space: Space) -> str:
    """`space` in the grammar of space files, ready to edit."""
    entries = {
        "about": space.about, "job": space.job, "goal": space.goal.name, "mode": space.goal.mode,
        "searcher": space.searcher, "scheduler": space.scheduler,
    }  # fmt: skip
    lines = [f"{name}: {_text(text)}" for name, text in entries.items() if text]
    if space.settings:
        lines.append("settings:")
        lines += [f"  {_text(name)}: {_setting(space, name)}" for name in space.settings]
    lines.append("fields:")
    for name, field in space.fields.items():
        lines += [f"  {_text(name)}:", *(f"    {line}" for line in _field_lines(field))]
    return "\n".join(lines) + "\n"


def _setting(space: Space, name: str) -> str:
    value = _flow(space.settings[name])
    conditions = space.settings_only_with.get(name)
    return f"{{value: {value}, only_with: {_conditions(conditions)}}}" if conditions else value


def _conditions(only_with: Mapping[str, tuple[Value, ...]]) -> str:
    return f"{{{', '.join(f'{_text(other)}: {_flow(list(values))}' for other, values in only_with.items())}}}"


def _field_lines(field: Field) -> list[str]:
    about = {"about": _text(field.about)} if field.about else {}
    only_with = {"only_with": _conditions(field.only_with)} if field.only_with else {}
    entries = about | {name: _flow(value) for name, value in field.spelled().items()} | only_with
    return [f"{name}: {text}" for name, text in entries.items()]


def _flow(value: Any) -> str:
    """A value, or a list of them, such that it is read back with its type."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = _text(value)
    return text if text[0] in "'\"" or Plain(text).value == value else _text(value, quoted=True)


def _text(text: str, *, quoted: bool = False) -> str:
    """A text, in quotes where YAML needs them, with escapes where it would read a line's end or nothing."""
    plain = text.isprintable() and not quoted
    flow = yaml.safe_dump(
        [text], default_flow_style=True, default_style=None if plain else '"', allow_unicode=plain, width=10**6
    )
    return flow.strip()[1:-1]
