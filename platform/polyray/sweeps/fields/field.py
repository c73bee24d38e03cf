"""A field of a space: the values that a sweep may give to one field of a job's config."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, Self

from polyray.errors import InputError

Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The coordinates by which a searcher takes the values of a field.

    Attributes:
        low, high: the ends, both included.
        log: distances count in logarithms.
        whole: only whole numbers are coordinates.
        ordered: neighbours are alike; else the whole numbers stand for names without an order.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    ordered: bool = True


class Field(Protocol):
    """The values that one field of a config may take in a sweep.

    Class attributes: `keyword` names the kind in a space file; `listed`: a file lists the values, else it gives the two
    ends of a range; `stepped`: the range may have a `step`.
    """

    keyword: ClassVar[str]
    listed: ClassVar[bool]
    stepped: ClassVar[bool]

    @property
    def about(self) -> str:
        """One line of documentation."""

    @property
    def only_with(self) -> Mapping[str, tuple[Value, ...]]:
        """Other fields, each with the values with which this one is read; empty: it always is."""

    @property
    def axis(self) -> Axis:
        """The coordinates of the values."""

    def at(self, coordinate: float) -> Value:
        """The value at a coordinate of the axis."""

    def coordinate(self, value: Any) -> float:
        """The coordinate of a value.

        Raises:
            InputError: the field does not have that value.
        """

    def draw(self, rng: random.Random) -> Value:
        """A value at random."""

    def grid(self) -> Sequence[Value]:
        """All values in order.

        Raises:
            InputError: the field is continuous.
        """

    def ends(self) -> Sequence[Value]:
        """The values that show whether a config takes all: every listed one, or the two ends of a range."""

    def spelled(self) -> dict[str, Any]:
        """The field in the grammar of space files, without `about` and `only_with`."""

    def with_conditions(self, only_with: Mapping[str, tuple[Value, ...]]) -> "Field":
        """The field with other conditions."""


@dataclass(frozen=True, kw_only=True)
class Conditional:
    """A field with a line of documentation and conditions; every kind of field is one.

    Attributes:
        about: one line.
        only_with: other fields, each with the values with which this one is read; empty: it always is.
    """

    about: str = ""
    only_with: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    def with_conditions(self, only_with: Mapping[str, tuple[Value, ...]]) -> Self:
        """The field with other conditions."""
        return replace(self, only_with=only_with)


def as_value(raw: Any) -> Value:
    """`raw` as a value of a field: a text, a number, true or false, or a list of these, which becomes a tuple.

    Raises:
        InputError: it is something else.
    """
    if isinstance(raw, list | tuple):
        if all(isinstance(item, str | int | float) for item in raw):
            return tuple(raw)
    elif isinstance(raw, str | int | float):
        return raw
    raise InputError(f"expected a text, a number, true or false, or a list of these, found {raw!r:.80}")
