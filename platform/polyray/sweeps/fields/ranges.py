"""Fields whose values lie between two ends, both included."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, NoReturn

from polyray.errors import InputError
from polyray.sweeps.fields.field import Axis, Conditional

LARGEST = 1e300  # of the ends: what lies between them is finite


@dataclass(frozen=True)
class Uniform(Conditional):
    """A number from `low` to `high`, each as likely; with a step low, low + step, ... up to `high`.

    The coordinate of a number is itself, with a step the number of steps from `low`.
    """

    low: float
    high: float
    step: float | None = None
    keyword: ClassVar[str] = "uniform"
    listed: ClassVar[bool] = False
    stepped: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_ends(self.low, self.high)
        if self.step is not None:
            check_step(self.step, self.low, self.high)

    @property
    def axis(self) -> Axis:
        """The numbers, or those of the steps."""
        if self.step is None:
            return Axis(low=self.low, high=self.high)
        steps = (Decimal(repr(self.high)) - self._start) // Decimal(repr(self.step))
        return Axis(low=0, high=int(steps), whole=True)

    @property
    def _start(self) -> Decimal:
        return Decimal(repr(self.low))

    def at(self, coordinate: float) -> float:
        """The number at a coordinate."""
        if self.step is None:
            return float(coordinate)
        return float(self._start + round(coordinate) * Decimal(repr(self.step)))  # 0.3, not 0.30000000000000004

    def coordinate(self, value: Any) -> float:
        """The coordinate of a number.

        Raises:
            InputError: it lies outside of the range, or between steps.
        """
        number = number_between(value, self.low, self.high)
        if self.step is None:
            return number
        steps = round((number - self.low) / self.step)
        if not math.isclose(self.at(steps), number, rel_tol=1e-9, abs_tol=1e-9 * self.step):
            raise InputError(f"{value!r:.80} is no whole number of steps of {self.step} from {self.low}")
        return steps

    def draw(self, rng: random.Random) -> float:
        """A number, each as likely."""
        return rng.uniform(self.low, self.high) if self.step is None else self.at(rng.randint(0, int(self.axis.high)))

    def grid(self) -> Sequence[float]:
        """All steps.

        Raises:
            InputError: there is no step.
        """
        if self.step is None:
            refuse_to_list("uniform", self.low, self.high)
        return [self.at(steps) for steps in range(int(self.axis.high) + 1)]

    def ends(self) -> Sequence[float]:
        """The lowest and the highest number."""
        return [self.at(self.axis.low), self.at(self.axis.high)]

    def spelled(self) -> dict[str, Any]:
        """The ends, and the step where there is one."""
        return {self.keyword: [self.low, self.high], **({} if self.step is None else {"step": self.step})}


@dataclass(frozen=True)
class LogRange(Conditional):
    """Positive numbers from `low` to `high` on a logarithmic scale; the coordinate of a number is itself."""

    low: float
    high: float
    keyword: ClassVar[str]
    listed: ClassVar[bool] = False
    stepped: ClassVar[bool] = False
    whole: ClassVar[bool]

    def __post_init__(self) -> None:
        check_ends(self.low, self.high)
        check_positive(self.low)

    @property
    def axis(self) -> Axis:
        """The numbers on a logarithmic scale."""
        return Axis(low=self.low, high=self.high, log=True, whole=self.whole)

    def ends(self) -> Sequence[float]:
        """The lowest and the highest number."""
        return [self.low, self.high]

    def spelled(self) -> dict[str, Any]:
        """The ends."""
        return {self.keyword: [self.low, self.high]}


@dataclass(frozen=True)
class LogUniform(LogRange):
    """A positive number from `low` to `high` whose logarithm is uniform; its coordinate is itself."""

    keyword: ClassVar[str] = "loguniform"
    whole: ClassVar[bool] = False

    def at(self, coordinate: float) -> float:
        """The coordinate."""
        return float(coordinate)

    def coordinate(self, value: Any) -> float:
        """The number.

        Raises:
            InputError: it lies outside of the range.
        """
        return number_between(value, self.low, self.high)

    def draw(self, rng: random.Random) -> float:
        """A number, each as likely as its logarithm."""
        number = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(number, self.low), self.high)  # against rounding

    def grid(self) -> NoReturn:
        """No list.

        Raises:
            InputError: always.
        """
        refuse_to_list("log-uniform", self.low, self.high)


def check_ends(low: float, high: float) -> None:
    """Refuse ends of a range that are not finite or not in order.

    Raises:
        InputError: that is so.
    """
    if not (abs(low) <= LARGEST and abs(high) <= LARGEST):  # not of not-a-number either
        raise InputError(f"expected ends up to {LARGEST}, found {low!s:.40} and {high!s:.40}")
    if low >= high:
        raise InputError(f"the lower end {low} is not below the upper end {high}")


def check_positive(low: float) -> None:
    """Refuse an end of a logarithmic range that has no logarithm.

    Raises:
        InputError: it is 0 or less.
    """
    if low <= 0:
        raise InputError(f"a logarithmic range begins above 0, found {low}")


def check_step(step: float, low: float, high: float) -> None:
    """Refuse a step that does not fit between the ends.

    Raises:
        InputError: it is not positive, or larger than the range.
    """
    room = Decimal(repr(high)) - Decimal(repr(low))  # as they are written: 1.001 - 1.0 is less than 0.001 in floats
    if not (math.isfinite(step) and 0 < Decimal(repr(step)) <= room):
        raise InputError(f"expected a step above 0 and at most {room}, found {step}")


def number_between(value: Any, low: float, high: float) -> float:
    """`value` as a number.

    Raises:
        InputError: it is none, or outside of low to high.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"{value!r:.80} is no number from {low} to {high}")
    return value


def refuse_to_list(noun: str, low: float, high: float) -> NoReturn:
    """Refuse to list the values of a continuous field.

    Raises:
        InputError: always.
    """
    raise InputError(f"it is continuous ({noun} from {low} to {high}), and a grid needs values that can be listed")
