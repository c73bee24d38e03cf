"""Kinds of fields of a space: listed values and ranges, by the keyword that names each in a space file."""

from polyray.sweeps.fields.field import Axis, Field, Scalar, Value, as_value
from polyray.sweeps.fields.integers import IntRange, LogIntRange
from polyray.sweeps.fields.listed import Grid, OneOf
from polyray.sweeps.fields.ranges import LogUniform, Uniform

FIELDS: dict[str, type[Field]] = {
    kind.keyword: kind for kind in (OneOf, Grid, Uniform, LogUniform, IntRange, LogIntRange)
}

__all__ = [
    "FIELDS",
    "Axis",
    "Field",
    "Grid",
    "IntRange",
    "LogIntRange",
    "LogUniform",
    "OneOf",
    "Scalar",
    "Uniform",
    "Value",
    "as_value",
]
