"""Values as they were written, and the types of the fields that they are for."""

from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from polyray.formats import Plain, Typed


def read_as(value: Any, annotation: Any) -> Any:
    """`value` for a field of the type `annotation`: an unquoted scalar becomes a text there, or a number.

    Raises:
        ValueError: a boolean is given for a number, or a number has too many digits.
    """
    kinds = _members(annotation)
    if isinstance(value, Plain):
        value = _scalar(value, kinds)
    if isinstance(value, bool) and bool not in kinds and {int, float} & set(kinds):
        raise ValueError(f"expected a number, found {str(value).lower()}")
    if isinstance(value, list | tuple):
        return type(value)(read_as(item, _item_kind(kinds)) for item in value)
    if isinstance(value, Mapping) and not any(_is_section(kind) for kind in kinds):
        inner = next((get_args(kind)[1] for kind in kinds if get_origin(kind) is dict), Any)
        return {str(key): read_as(item, inner) for key, item in value.items()}
    return value


def is_text(annotation: Any) -> bool:
    """Whether a field of this type takes any text as it is, so that none is read as a number or a list."""
    return str in _members(annotation)


def _members(annotation: Any) -> Sequence[Any]:
    """The types of a union, the types of the values of a Literal, or the one type."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return [kind for member in get_args(annotation) for kind in _members(member)]
    if origin is Literal:
        return [type(value) for value in get_args(annotation)]
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    return [annotation]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)  # it reads its own fields


def _scalar(value: Plain, kinds: Sequence[Any]) -> Any:
    if str not in kinds:
        return value.value
    empty = value and value.value is None  # ~ or null
    return None if empty and (NoneType in kinds or not isinstance(value, Typed)) else str(value)


def _item_kind(kinds: Sequence[Any]) -> Any:
    return next((get_args(kind)[0] for kind in kinds if get_origin(kind) in (tuple, list) and get_args(kind)), Any)
