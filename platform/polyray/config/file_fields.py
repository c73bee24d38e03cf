"""Fields of a config that name files and folders which a job reads."""

from collections.abc import Iterator, Mapping
from typing import Any

from polyray.config.section import Choice, Section


def file_fields(config: Section) -> dict[str, str]:
    """The paths that `config` names, or may name, by the dotted names of their fields; empty ones are left out.

    Those in lists have their index behind the name: `base[0]`, `parts[1].model`.
    """
    return {name: path for name, path in _paths(config) if path}


def file_lists(config: Section) -> dict[str, Any]:
    """The values, as plain data, of the lists and tables in which `config` names paths, by their dotted names."""
    names = dict.fromkeys(name.partition("[")[0] for name, _ in _paths(config) if "[" in name)
    values = config.model_dump(mode="json")
    return {name: _at(values, name) for name in names}


def _at(values: Any, name: str) -> Any:
    for key in name.split("."):
        values = values[key]
    return values


def _paths(config: Section) -> Iterator[tuple[str, str]]:
    for name in type(config).model_fields:
        value = vars(config)[name]
        if isinstance(config, Choice) and name == "options":
            yield from _paths(value)
        elif isinstance(value, Section):
            yield from _below(name, value)
        elif name in config.files:
            yield from _texts(name, value)
        elif isinstance(value, Mapping):
            for key, section in value.items():
                if isinstance(section, Section):
                    yield from _below(f"{name}.{key}", section)
        elif isinstance(value, tuple):
            for index, section in enumerate(value):
                if isinstance(section, Section):
                    yield from _below(f"{name}[{index}]", section)


def _below(prefix: str, section: Section) -> Iterator[tuple[str, str]]:
    yield from ((f"{prefix}.{name}", path) for name, path in _paths(section))


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _texts(f"{name}.{key}", below)
    elif isinstance(value, tuple):
        for index, below in enumerate(value):
            yield from _texts(f"{name}[{index}]", below)
    else:
        assert isinstance(value, str), name
        yield name, value
