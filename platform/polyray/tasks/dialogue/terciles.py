"""Lowest, middle and highest third of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Terciles:
    """Thirds of some numbers.

    low, middle: the largest number of the lowest and of the middle third.
    """

    low: float
    middle: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Thirds of `values`, of which there is one at least; where they differ in size, the lower ones are larger."""
        ordered, n = sorted(values), len(values)
        return cls(low=ordered[(n + 2) // 3 - 1], middle=ordered[(n + 2) // 3 + (n + 1) // 3 - 1])

    def third(self, value: float) -> int:
        """The third that `value` belongs to: 0, 1 or 2; numbers equal to the largest of a third are in it."""
        return int(value > self.low) + int(value > self.middle)
