"""Fields of a config that name files and folders which a job reads."""

from collections.abc import Iterator, Mapping
from typing import Any

from polyray.config.section import Choice, Section


def file_fields(config: Section) -> dict[str, str]:
    """The paths that `config` names, or may name, by the dotted names of their fields; empty ones are left out."""
    return {name: path for name, path in _paths(config) if path}


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


def _below(prefix: str, section: Section) -> Iterator[tuple[str, str]]:
    yield from ((f"{prefix}.{name}", path) for name, path in _paths(section))


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        yield from ((f"{name}.{key}", text) for key, text in value.items())
    else:
        assert isinstance(value, str), name
        yield name, value
