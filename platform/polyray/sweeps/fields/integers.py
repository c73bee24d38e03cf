"""Fields whose values are whole numbers between two ends, both included."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from polyray.errors import InputError
from polyray.sweeps.fields.field import Axis, Conditional
from polyray.sweeps.fields.ranges import LogRange, check_ends, check_step, number_between

LARGEST_WHOLE = 2**53


@dataclass(frozen=True)
class IntRange(Conditional):
    """One of the whole numbers low, low + step, ... up to `high`, each as likely; its coordinate counts the steps."""

    low: int
    high: int
    step: int = 1
    keyword: ClassVar[str] = "int"
    listed: ClassVar[bool] = False
    stepped: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole(self.low, self.high, self.step)
        check_ends(self.low, self.high)
        check_step(self.step, self.low, self.high)

    @property
    def axis(self) -> Axis:
        """The numbers of steps."""
        return Axis(low=0, high=(self.high - self.low) // self.step, whole=True)

    def at(self, coordinate: float) -> int:
        """The number after so many steps."""
        return self.low + round(coordinate) * self.step

    def coordinate(self, value: Any) -> float:
        """The number of steps to a number.

        Raises:
            InputError: it lies outside of the range, or between steps.
        """
        steps, rest = divmod(number_between(value, self.low, self.high) - self.low, self.step)
        if rest:
            raise InputError(f"{value!r:.80} is no whole number of steps of {self.step} from {self.low}")
        return steps

    def draw(self, rng: random.Random) -> int:
        """A number, each as likely."""
        return rng.randrange(self.low, self.high + 1, self.step)

    def grid(self) -> Sequence[int]:
        """All numbers in order."""
        return range(self.low, self.high + 1, self.step)

    def ends(self) -> Sequence[int]:
        """The lowest and the highest number."""
        return [self.low, self.at(self.axis.high)]

    def spelled(self) -> dict[str, Any]:
        """The ends, and the step where it is not 1."""
        return {self.keyword: [self.low, self.high], **({} if self.step == 1 else {"step": self.step})}


@dataclass(frozen=True)
class LogIntRange(LogRange):
    """A whole number from `low` to `high`, about as likely as its logarithm; its coordinate is itself."""

    low: int
    high: int
    keyword: ClassVar[str] = "logint"
    whole: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole(self.low, self.high)
        super().__post_init__()

    def at(self, coordinate: float) -> int:
        """The coordinate."""
        return round(coordinate)

    def coordinate(self, value: Any) -> float:
        """The number.

        Raises:
            InputError: it lies outside of the range, or is not whole.
        """
        number = number_between(value, self.low, self.high)
        check_whole(number)
        return number

    def draw(self, rng: random.Random) -> int:
        """A number: a log-uniform one, half a number beyond either end allowed, rounded."""
        exponent = rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5))
        return min(max(round(math.exp(exponent)), self.low), self.high)

    def grid(self) -> Sequence[int]:
        """All numbers in order."""
        return range(self.low, self.high + 1)


def check_whole(*numbers: float) -> None:
    """Refuse numbers that are not whole, or so large that a float does not hold them.

    Raises:
        InputError: one is so.
    """
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool) or abs(number) > LARGEST_WHOLE:
            raise InputError(f"expected a whole number up to {LARGEST_WHOLE}, found {number!r:.40}")
