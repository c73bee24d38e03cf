"""Positions of values between the ends of their field."""

from math import log

from polyray.sweeps.fields import Field, Value


def position(field: Field, value: Value) -> float:
    """`value` between the ends of its field: 0 the lowest or first, 1 the highest or last."""
    axis, coordinate = field.axis, field.coordinate(value)
    if axis.low == axis.high:
        return 0.5
    if axis.log:
        return (log(coordinate) - log(axis.low)) / (log(axis.high) - log(axis.low))
    return (coordinate - axis.low) / (axis.high - axis.low)
