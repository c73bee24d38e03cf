"""The two speeds of a sweep: where the goal is best in the rate of the skills and in that of the routing."""

from dataclasses import dataclass
from math import isfinite, log10
from typing import TYPE_CHECKING

from polyray.analysis.surface import Interval, Surface, fit_surface
from polyray.sweeps.rows import TrialRow
from polyray.sweeps.space import Space

if TYPE_CHECKING:  # which keeps the fit
    from polyray.sweeps.record import SweepRecord

MIN_TRIALS = 8  # for a surface


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The goal over the logarithms (base 10) of both rates.

    Attributes:
        lr, routing_lr: names of the fields.
        surface: where the goal is to be small, of the goal with the other sign.
    """

    lr: str
    routing_lr: str
    surface: Surface

    def figures(self) -> dict[str, Interval]:
        """The best rates and their ratio, routing_lr / lr, with 95 % intervals."""
        first, second = self.surface.optimum
        return {
            self.lr: _power(first), self.routing_lr: _power(second),
            "ratio": _power(self.surface.difference),
        }  # fmt: skip

    @property
    def flat(self) -> tuple[float, float]:
        """Ratios between which some pair of rates is as good as the best within the scatter of one training."""
        low, high = self.surface.flat
        return 10**low, 10**high

    def text(self) -> str:
        """The optimum and its uncertainty in words."""
        x, y, ratio = (
            f"{figure.estimate:.3g} (95 %: {figure.low:.3g} to {figure.high:.3g})" for figure in self.figures().values()
        )
        low, high = self.flat
        edges = [
            name for name, at_edge in zip((self.lr, self.routing_lr), self.surface.at_edge, strict=True) if at_edge
        ]
        edge = f" It lies on the edge of the tried {' and '.join(edges)}: better rates may lie beyond." if edges else ""
        return (
            f"Best at {self.lr} {x} and {self.routing_lr} {y}: ratio {self.routing_lr} / {self.lr} = {ratio}.{edge} "
            f"With ratios from {low:.2g} to {high:.2g} some rates are as good within the scatter of one training. "
            f"From {self.surface.n_points} trials."
        )


def rate_fields(space: Space) -> tuple[str, str] | None:
    """The names of both rates, SECTION.lr and SECTION.routing_lr; None where the space does not vary both."""
    for name in space.fields:
        section, _, last = name.rpartition(".")
        partner = f"{section}.lr"
        if last == "routing_lr" and partner in space.fields:
            return partner, name
    return None


def fit_rates(record: "SweepRecord") -> Rates | None:
    """Fit the surface to the trials that have ended; None for fewer than 8, or where it would be flat."""
    names = rate_fields(record.space)
    if names is None:
        return None
    sign = record.goals[0].sign
    points, observations = [], []
    for row in record.scored:
        rates = rates_of(row, names)
        goals = [goal for goal in row.seed_goals or row.goals[:1] if isfinite(goal)]
        if rates is not None and goals:
            points.append([log10(rate) for rate in rates])
            observations.append([sign * goal for goal in goals])
    if len(points) < MIN_TRIALS or any(len({point[axis] for point in points}) < 3 for axis in (0, 1)):
        return None
    if len({value for values in observations for value in values}) < 2:
        return None
    return Rates(lr=names[0], routing_lr=names[1], surface=fit_surface(points, observations))


def rates_of(row: TrialRow, names: tuple[str, str]) -> tuple[float, float] | None:
    """The values of both rates; None where one is no positive number, or is not read."""
    first, second = (row.fields.get(name) for name in names)
    if isinstance(first, int | float) and isinstance(second, int | float) and first > 0 and second > 0:
        return float(first), float(second)
    return None


def _power(interval: Interval) -> Interval:
    return Interval(estimate=10**interval.estimate, low=10**interval.low, high=10**interval.high)
