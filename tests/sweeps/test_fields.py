"""Fields of a space: what they draw, list and measure."""

import math
import random
from typing import Any

import pytest
from gathering import for_cases
from hypothesis import given, settings
from hypothesis import strategies as st

from polyray.errors import InputError
from polyray.sweeps.fields import Field, Grid, IntRange, LogIntRange, LogUniform, OneOf, Uniform, as_value

FIELDS: list[Field] = [
    OneOf(("soft", "hard", True, 3, 0.5, ("a", "b"))), Grid((0.1, 0.3, 10)), Uniform(-1, 2), Uniform(0.1, 1.0, 0.2),
    LogUniform(1e-5, 1e-1), IntRange(-3, 9), IntRange(2, 32, 4), LogIntRange(1, 64),
]  # fmt: skip


@for_cases([{"field": field} for field in FIELDS])
def test_draws_are_values_whose_coordinates_lead_back_to_them(field: Field) -> None:
    rng = random.Random(0)
    draws = [field.draw(rng) for _ in range(300)]
    for value in [*draws, *field.ends()]:
        coordinate = field.coordinate(value)
        assert field.axis.low <= coordinate <= field.axis.high
        assert field.at(coordinate) == value and type(field.at(coordinate)) is type(value)
    again = random.Random(0)
    assert draws == [field.draw(again) for _ in range(300)]
    if field.axis.whole:
        assert {repr(value) for value in draws} <= {repr(value) for value in field.grid()}  # True is not 1 here
        assert len(field.grid()) > 20 or len(set(draws)) == len(field.grid())


def test_lists_of_values_are_these() -> None:
    assert list(OneOf(("b", "a")).grid()) == ["b", "a"]
    assert list(Uniform(0.1, 1.0, 0.2).grid()) == [0.1, 0.3, 0.5, 0.7, 0.9]  # as decimals, which floats would miss
    assert list(IntRange(2, 9, 3).grid()) == [2, 5, 8]
    assert list(IntRange(2, 9, 3).ends()) == [2, 8]
    assert list(LogIntRange(1, 4).grid()) == [1, 2, 3, 4]


def test_log_uniform_draws_are_as_often_in_every_decade() -> None:
    rng = random.Random(1)
    decades = [math.floor(math.log10(LogUniform(1e-4, 1.0).draw(rng))) for _ in range(4000)]
    assert max(abs(decades.count(decade) / 4000 - 0.25) for decade in (-4, -3, -2, -1)) < 0.02


def test_a_logarithmic_range_of_integers_draws_as_the_logarithms_around_them() -> None:
    rng = random.Random(2)
    draws = [LogIntRange(1, 8).draw(rng) for _ in range(8000)]
    expected = [math.log((n + 0.5) / (n - 0.5)) / math.log(8.5 / 0.5) for n in range(1, 9)]
    assert max(abs(draws.count(n) / 8000 - expected[n - 1]) for n in range(1, 9)) < 0.015


@for_cases(
    [
        {"kind": kind, "arguments": arguments, "message": message}
        for kind, arguments, message in [
            (OneOf, [()], "at least one value"),
            (Grid, [tuple(range(1001))], "at most 1000, found 1001"),
            (OneOf, [("a", "b", "a")], "'a' stands twice"),
            (Grid, [(1.0, math.nan)], "finite"),
            (Uniform, [1, 1], "1 is not below the upper end 1"),
            (Uniform, [0, math.inf], "ends up to"),
            (LogUniform, [math.nan, 1], "ends up to"),
            (IntRange, [0, 10**900], "whole number up to"),
            (Uniform, [0, 10**900], "ends up to"),
            (Uniform, [0, 1, 2], "at most 1, found 2"),
            (Uniform, [0, 1, 0], "step above 0"),
            (LogUniform, [0, 1], "above 0, found 0"),
            (LogUniform, [2, 1], "not below"),
            (IntRange, [1, 2.5], "whole number up to .*, found 2.5"),
            (IntRange, [1, True], "whole number up to .*, found True"),
            (IntRange, [1, 4, 0], "step above 0"),
            (LogIntRange, [0, 4], "above 0"),
            (LogIntRange, [5, 4], "not below"),
        ]
    ]
)
def test_a_field_without_values_is_refused(kind: Any, arguments: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        kind(*arguments)


FOREIGN: list[tuple[Field, list[Any]]] = [
    (OneOf(("a", "b")), ["c", ("a",), 1]), (Uniform(0, 1), [-0.1, 1.1, "0.5", True]), (Uniform(0, 1, 0.25), [0.3]),
    (IntRange(0, 10, 5), [4, 11, 2.5]), (LogIntRange(1, 9), [0, 2.5]),
]  # fmt: skip


@for_cases([{"field": field, "value": value} for field, values in FOREIGN for value in values])
def test_the_coordinate_of_a_value_that_is_none_of_the_field_s_is_refused(field: Field, value: Any) -> None:
    with pytest.raises(InputError):
        field.coordinate(value)


def test_continuous_fields_cannot_be_listed() -> None:
    for field, message in ((Uniform(0, 1), "uniform from 0 to 1"), (LogUniform(1e-3, 1), "log-uniform from 0.001")):
        with pytest.raises(InputError, match=message):
            field.grid()


@settings(max_examples=25, deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(1, 10**4), st.integers(1, 50))
def test_steps_are_the_decimals_that_were_written(low: int, step: int, steps: int) -> None:
    values = Uniform(low / 1000, (low + steps * step) / 1000, step / 1000).grid()
    assert list(values) == [(low + k * step) / 1000 for k in range(steps + 1)]


def test_only_texts_numbers_and_lists_of_them_are_values() -> None:
    assert as_value(["a", 1]) == ("a", 1)
    for raw in (None, {"a": 1}, [["a"]], object):
        with pytest.raises(InputError, match="expected a text, a number"):
            as_value(raw)
