"""From defaults, a YAML file, overrides and a sweep's trial to one validated config."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from polyray.config.describing import field_names
from polyray.config.section import Choice, Section, sections, unread_fields
from polyray.errors import InputError

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
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise InputError(f"Cannot read {override!r}: an override is written section.key=value.")
        _put(values, name, _scalar(text, override))
        origins[name] = f"command line, {override!r}"
    for name, value in (trial or {}).items():
        _put(values, name, value)
        origins[name] = "trial"
    try:
        config = kind.model_validate(_on_defaults(kind, _job_defaults(kind), values))
    except ValidationError as error:
        raise InputError(_explain(error, kind, origins, values)) from None
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
    usual = [
        entry.Options().model_dump(mode="json")[name]
        for entry in choice.table.values()
        if name in entry.Options.model_fields
    ]
    return bool(usual) and value in [*usual, defaults.get(name, usual[0])]


def _refuse_unread(config: Section, origins: Mapping[str, str]) -> None:
    """Refuse fields that were set to something else than their default and that the config does not read."""
    usual = type(config)()
    for unread, reason in unread_fields(config).items():
        for name, origin in origins.items():
            inside = f"{name}.".startswith(f"{unread}.")
            if inside and _value_at(config, name) != _value_at(usual, name):
                raise InputError(f"{name} ({origin}) is not read: {reason}. Leave it out.")


def _value_at(config: Section, name: str) -> Any:
    values: Any = config.model_dump(mode="json")
    for step in name.split("."):
        values = values.get(step) if isinstance(values, Mapping) else None
    return values


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
    names: list[tuple[str, int]] = []
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        names.append((name, key.start_mark.line + 1))
        if isinstance(value, yaml.MappingNode):
            names += _lines(value, f"{name}.")
    return names


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


def _explain(error: ValidationError, kind: type[Section], origins: Mapping[str, str], values: Mapping[str, Any]) -> str:
    messages = []
    for problem in error.errors():
        name = ".".join(str(step) for step in problem["loc"] if step != "options")
        at = next((origins[key] for key in (name, *_parents(name)) if key in origins), "default")
        if problem["type"] == "extra_forbidden":
            messages.append(_unknown_field(name, at, kind, values))
        else:
            message = problem["msg"].removeprefix("Value error, ")
            messages.append(f"{name} = {problem['input']!r} ({at}): {message}")
    return "\n".join(messages)


def _unknown_field(name: str, at: str, kind: type[Section], values: Mapping[str, Any]) -> str:
    section, _, field = name.rpartition(".")
    choice = dict(sections(kind)).get(section)
    if choice is not None and issubclass(choice, Choice):
        owners = [entry for entry, value in choice.table.items() if field in value.Options.model_fields]
        if owners:
            selector = kind.selectors.get(section, f"{section}.kind")
            default = kind.model_fields[section].default
            chosen = _chosen(values, selector) or (
                default.kind if isinstance(default, Choice) else choice.default_kind()
            )
            return (
                f"{name} ({at}) is not read with {selector}={chosen}; {', '.join(owners)} "
                f"{'reads' if len(owners) == 1 else 'read'} it. Leave it out, or choose another {selector}."
            )
    names = field_names(kind)
    if name in names:  # of a section inside a choice
        return f"{name} ({at}) is not read here."
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names)}."
    return f"No field is called {name!r} ({at}). {hint}"


def _chosen(values: Mapping[str, Any], selector: str) -> str:
    inner: Any = values
    for step in selector.split("."):
        inner = inner.get(step) if isinstance(inner, Mapping) else None
    return str(inner or "")


def _parents(name: str) -> list[str]:
    steps = name.split(".")
    return [".".join(steps[:i]) for i in range(len(steps) - 1, 0, -1)]
