"""Fields whose values are listed."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from polyray.errors import InputError
from polyray.sweeps.fields.field import Axis, Conditional, Value, as_value

LONGEST = 1000  # values of a list: each of them is tried with the job's config


@dataclass(frozen=True)
class Listed(Conditional):
    """One of some values; the coordinate of each is its index."""

    values: tuple[Value, ...]
    keyword: ClassVar[str]
    listed: ClassVar[bool] = True
    stepped: ClassVar[bool] = False
    ordered: ClassVar[bool]

    def __post_init__(self) -> None:
        if not 0 < len(self.values) <= LONGEST:
            raise InputError(f"expected at least one value and at most {LONGEST}, found {len(self.values)}")
        twice = [value for index, value in enumerate(self.values) if value in self.values[:index]]
        if twice:
            raise InputError(f"the value {twice[0]!r:.80} stands twice")
        if any(isinstance(value, float) and not math.isfinite(value) for value in self.values):
            raise InputError("expected finite numbers")

    @property
    def axis(self) -> Axis:
        """The indices of the values."""
        return Axis(low=0, high=len(self.values) - 1, whole=True, ordered=self.ordered)

    def at(self, coordinate: float) -> Value:
        """The value at an index."""
        return self.values[round(coordinate)]

    def coordinate(self, value: Any) -> float:
        """The index of a value.

        Raises:
            InputError: it is not listed.
        """
        plain = as_value(value)
        if plain not in self.values:
            values = ", ".join(map(repr, self.values))
            raise InputError(f"{value!r:.80} is not among {values:.200}")
        return self.values.index(plain)

    def draw(self, rng: random.Random) -> Value:
        """One of the values, each as likely."""
        return rng.choice(self.values)

    def grid(self) -> Sequence[Value]:
        """The values in order."""
        return self.values

    def ends(self) -> Sequence[Value]:
        """All values."""
        return self.values

    def spelled(self) -> dict[str, Any]:
        """The list of values."""
        return {self.keyword: [list(value) if isinstance(value, tuple) else value for value in self.values]}


class OneOf(Listed):
    """One of some values without an order, such as names: none is nearer to another than the rest."""

    keyword: ClassVar[str] = "choice"
    ordered: ClassVar[bool] = False


class Grid(Listed):
    """One of some values in an order: neighbours are alike."""

    keyword: ClassVar[str] = "grid"
    ordered: ClassVar[bool] = True
