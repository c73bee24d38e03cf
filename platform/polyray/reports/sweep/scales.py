"""Ticks of a field's axis in a picture."""

from polyray.reports.shortening import short_names
from polyray.sweeps.fields import Field
from polyray.sweeps.positions import position
from polyray.sweeps.wording import value_text

MOST_TICKS = 8


def ticks(field: Field) -> list[tuple[float, str]]:
    """Positions and labels: every value of a short list, else the ends and the middle."""
    axis = field.axis
    count = round(axis.high - axis.low) + 1
    if axis.whole and count <= MOST_TICKS:
        values = [field.at(axis.low + step) for step in range(count)]
    else:
        middle = (axis.low * axis.high) ** 0.5 if axis.log else (axis.low + axis.high) / 2
        values = [field.at(coordinate) for coordinate in (axis.low, middle, axis.high)]
    labels = short_names([value_text(value) for value in values], 14)
    return [(position(field, value), label) for value, label in zip(values, labels, strict=True)]
