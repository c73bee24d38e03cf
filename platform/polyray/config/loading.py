"""From defaults, a YAML file, overrides and a sweep's trial to one validated config."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from polyray.config.explaining import explain
from polyray.config.overrides import parse_override
from polyray.config.section import Choice, Section, sections, unread_fields
from polyray.errors import InputError
from polyray.formats import Plain, read_yaml

AConfig = TypeVar("AConfig", bound=Section)


def load_config(
    kind: type[AConfig], file: Path | None = None, overrides: Sequence[str] = (), trial: Mapping[str, Any] | None = None
) -> AConfig:
    """The config of type `kind`: its defaults, then `file`, then `overrides` ("training.lr=1e-3"), then `trial`.

    `trial` maps dotted names to values, as Ray Tune hands them out. A section that is set in part keeps the defaults
    that the job gives its other fields. Options of a choice that its kind lacks are refused, unless they have the value
    that they have by default where they belong, as in a file that `polyray describe` wrote for another kind.

    Raises:
        InputError: the file or an override cannot be read, names an unknown field or one that is not read, or has a
            value of the wrong type; the message says in which file and line.
    """
    values, lines = _read_yaml(file) if file is not None else ({}, {})
    origins = {name: f"{file}:{line}" for name, line in lines.items()}
    for override in overrides:
        name, value = parse_override(kind, override)
        _put(values, name, value)
        origins[name] = f"command line, {override!r}"
    for name, value in (trial or {}).items():
        _put(values, name, value)
        origins[name] = "trial"
    try:
        config = kind.model_validate(_on_defaults(kind, _job_defaults(kind), values))
    except ValidationError as error:
        raise InputError(explain(error, kind, origins, values)) from None
    _refuse_unread(config, origins)
    return config


def dump_config(config: Section) -> str:
    """`config` as YAML that `load_config` reads back to an equal config."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _job_defaults(kind: type[Section]) -> dict[str, Any]:
    """The values that a job's config sets in its sections' defaults, nested."""
    defaults = {}
    for name, _ in sections(kind):
        section = kind.model_fields[name].get_default(call_default_factory=True)
        if isinstance(section, Section):
            defaults[name] = section.model_dump(mode="json", exclude_unset=True)
    for name in set(kind.selectors.values()):
        defaults[name] = kind.model_fields[name].default
    return defaults


def _on_defaults(kind: type[Section], defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` laid over `defaults`, section by section."""
    merged = {**defaults, **values}
    for name, inner in sections(kind):
        over = values.get(name, {})
        if not isinstance(over, Mapping):
            continue
        under = defaults.get(name, {})
        if issubclass(inner, Choice):
            selector = kind.selectors.get(name)
            chosen = merged.get(selector) if selector else over.get("kind", under.get("kind", inner.default_kind()))
            merged[name] = _chosen_options(inner, str(chosen), under, over)
        else:
            merged[name] = _on_defaults(inner, under, over)
    return merged


def _chosen_options(
    choice: type[Choice], kind: str, defaults: Mapping[str, Any], values: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of a choice: of `defaults` those that `kind` has, of `values` all but other entries' defaults."""
    if kind not in choice.table:
        return dict(values)
    fields = choice.model_fields.keys() | choice.options_of(kind).model_fields.keys()
    under = {name: value for name, value in defaults.items() if name in fields}
    over = {
        name: value
        for name, value in values.items()
        if name in fields or not _is_default(choice, name, value, defaults)
    }
    return {**under, **over}


def _is_default(choice: type[Choice], name: str, value: Any, defaults: Mapping[str, Any]) -> bool:
    """Whether some entry of the choice has an option called `name` whose default is `value`."""
    for entry in choice.table.values():
        if name in entry.Options.model_fields:
            usual = entry.Options().model_dump(mode="json")[name]
            try:
                written = entry.Options.model_validate({name: value}).model_dump(mode="json")[name]
            except ValidationError:
                continue
            if written in (usual, defaults.get(name, usual)):
                return True
    return False


def _refuse_unread(config: Section, origins: Mapping[str, str]) -> None:
    """Refuse fields that were set to something else than their default and that the config does not read."""
    kind, reasons = type(config), unread_fields(config)
    inside = [(name, unread) for unread in reasons for name in origins if f"{name}.".startswith(f"{unread}.")]
    if not inside:
        return
    untouched, usual = kind(), kind.model_validate(_on_defaults(kind, _job_defaults(kind), _choices(config)))
    for name, unread in inside:
        chooses = name in kind.selectors.values() or name.endswith(".kind")
        if _value_at(config, name) != _value_at(untouched if chooses else usual, name):
            raise InputError(f"{name} ({origins[name]}) is not read: {reasons[unread]}. Leave it out.")


def _choices(config: Section) -> dict[str, Any]:
    """The kind of each choice in `config` and its sections, and nothing else."""
    kind = type(config)
    values = {selector: vars(config)[selector] for selector in kind.selectors.values()}
    for name, inner in sections(kind):
        if not issubclass(inner, Choice):
            values[name] = _choices(vars(config)[name])
        elif name not in kind.selectors:
            values[name] = {"kind": vars(config)[name].kind}
    return values


def _value_at(config: Section, name: str) -> Any:
    values: Any = config.model_dump(mode="json")
    for step in name.split("."):
        values = values.get(step) if isinstance(values, Mapping) else None
    return values


def _read_yaml(file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    document = read_yaml(file)
    if document.content is None or (isinstance(document.content, Plain) and not document.content):
        return {}, {}
    if not isinstance(document.content, dict):
        noun = "a list" if isinstance(document.content, list) else "a single value"
        raise InputError(f"{file}:1 must hold `field: value` pairs, found {noun}.")
    return document.content, document.lines


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    *sections, last = name.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise InputError(f"Cannot set {name!r}: {section!r} is already a value, not a section.")
        values = inner
    values[last] = value
