"""Sections of a config: frozen groups of fields, and sections whose fields depend on the entry that they choose."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from polyray.config.values import read_as
from polyray.errors import InputError
from polyray.lookup import lookup


class Section(BaseModel):
    """A frozen group of fields: unknown fields are refused, the string under a field is its documentation.

    `selectors` maps the name of a field that is a `Choice` to the field beside it that holds the choice's kind, where
    that is not the choice's own `kind` (`suite` chooses what `tasks` holds). `elastic` are the names of fields that may
    change when a run goes on: they say where and with how many processes it runs, not what it computes. The fields of a
    section that is `observing` only say who watches: they may change, and the run stays exact. `files` are the names of
    fields that may hold the path of a file or folder that is read, which travels with a job to a cluster. `read_by` has
    the fields that are read for some kinds of task alone, with the names of their objectives.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    selectors: ClassVar[Mapping[str, str]] = {}
    elastic: ClassVar[frozenset[str]] = frozenset()
    observing: ClassVar[bool] = False
    files: ClassVar[frozenset[str]] = frozenset()
    read_by: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        """Read an unquoted scalar as a text or a number, as the field wants it; a boolean is no number."""
        assert info.field_name is not None  # a validator of fields has one
        return read_as(value, cls.model_fields[info.field_name].annotation)

    def unread(self) -> Mapping[str, str]:
        """Names of fields, or of whole sections, that are not read as things are, each with the reason.

        `load_config` refuses those that are set to something else than their default.
        """
        return {}

    def unread_inside(self) -> Mapping[str, str]:
        """As `unread`, with dotted names of fields of the sections inside, which do not know of each other."""
        return {}


class NoOptions(Section):
    """The options of an entry that has none."""


class Choice(Section):
    """A section that chooses an entry of `table` by its `kind`; the other fields are the entry's own `Options`.

    Written flat, {kind: lora, rank: 4}, in files and on the command line; in Python `options` holds the entry's fields.
    """

    table: ClassVar[Mapping[str, Any]] = {}
    noun: ClassVar[str] = "entry"

    kind: str = ""
    """Name of an entry of the table."""
    options: SerializeAsAny[Section] = Field(default=cast(Section, None), validate_default=True)
    """Fields of the chosen entry."""

    @classmethod
    def options_of(cls, kind: str) -> type[Section]:
        """The class of the options of the entry called `kind`.

        Raises:
            InputError: the table has no such entry.
        """
        options: type[Section] = lookup(cls.table, kind, cls.noun).Options
        return options

    @classmethod
    def default_kind(cls) -> str:
        """The kind where none is set."""
        return str(cls.model_fields["kind"].default)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: Any) -> Any:
        """Move fields that are not the section's own into `options`."""
        if not isinstance(values, Mapping):
            return values
        options = values.get("options")
        flat = {name: value for name, value in values.items() if name not in cls.model_fields}
        if isinstance(options, Section) and not flat:
            return values
        inner = options if isinstance(options, Mapping) else {}
        rest = {name: value for name, value in values.items() if name in cls.model_fields and name != "options"}
        return {**rest, "options": {**inner, **flat}}

    @field_validator("kind")
    @classmethod
    def _kind_exists(cls, kind: str) -> str:
        try:
            cls.options_of(kind)
        except InputError as error:
            raise ValueError(str(error)) from None
        return kind

    @field_validator("options", mode="wrap")
    @classmethod
    def _by_kind(cls, value: Any, handler: Any, info: ValidationInfo) -> Section:
        if "kind" not in info.data:  # an unknown kind, which is reported for itself
            return NoOptions()
        options = cls.options_of(info.data["kind"])
        if isinstance(value, Section) and not isinstance(value, options):
            raise ValueError(f"kind {info.data['kind']!r} takes {options.__name__}, found {type(value).__name__}")
        return options.model_validate({} if value is None else value)

    @model_serializer(mode="wrap")
    def _flat(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        options = values.pop("options", {})
        return {**({"kind": values.pop("kind")} if "kind" in values else {}), **options, **values}


def unread_fields(config: Section) -> dict[str, str]:
    """Dotted names of all fields that `config` and its sections do not read, each with the reason."""
    unread = {**config.unread(), **config.unread_inside()}
    for name, _ in sections(type(config)):
        section = vars(config)[name]
        unread |= {f"{name}.{field}": reason for field, reason in unread_fields(section).items()}
    if isinstance(config, Choice):
        unread |= unread_fields(config.options)
    return unread


def fields_read_by(config: type[Section], prefix: str = "") -> dict[str, tuple[str, ...]]:
    """Dotted names of all fields of `config` and its sections that only some objectives read, each with these."""
    fields = {f"{prefix}{name}": readers for name, readers in config.read_by.items()}
    for name, section in sections(config):
        fields |= fields_read_by(section, f"{prefix}{name}.")
    return fields


def elastic_fields(config: type[Section]) -> set[str]:
    """Dotted names of all fields of `config` and its sections that may change when a run goes on."""
    nested = {f"{name}.{field}" for name, section in sections(config) for field in elastic_fields(section)}
    return nested | config.elastic


def observing_sections(config: type[Section]) -> set[str]:
    """Dotted names of all sections of `config` whose fields only say who watches a run."""
    inner = dict(sections(config))
    nested = {f"{name}.{below}" for name, section in inner.items() for below in observing_sections(section)}
    return nested | {name for name, section in inner.items() if section.observing}


@cache
def sections(kind: type[Section]) -> tuple[tuple[str, type[Section]], ...]:
    """The fields of `kind` that are sections themselves, with their classes."""
    inner = []
    for name, field in kind.model_fields.items():
        annotation = field.annotation
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        if isinstance(annotation, type) and issubclass(annotation, Section) and name != "options":
            inner.append((name, annotation))
    return tuple(inner)
