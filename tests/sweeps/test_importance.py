"""Importance of fields, where the truth is planted."""

import random

import numpy as np
import pytest
from sweep_cases import record, row

from polyray.sweeps.fields import LogUniform, OneOf, Uniform
from polyray.sweeps.importance import importances
from polyray.sweeps.space import Goal, Space

pytestmark = pytest.mark.processes  # a random forest takes two seconds to import and to fit


MIXED = Space(
    about="", job="polytropon", goal=Goal("mean"),
    fields={
        "a.matters": LogUniform(1e-4, 1.0), "a.little": Uniform(0.0, 1.0), "a.nothing": Uniform(0.0, 1.0),
        "a.kind": OneOf(("x", "y", "z")), "a.only": Uniform(0.0, 1.0, only_with={"a.kind": ("x", "y")}),
    },
)  # fmt: skip


def test_importance_finds_the_fields_that_matter() -> None:
    rng = random.Random(0)
    rows = []
    for number in range(60):
        fields = MIXED.draw(rng)
        score = np.log10(float(str(fields["a.matters"]))) + 0.8 * float(str(fields["a.little"]))
        score += 6.0 * float(str(fields.get("a.only", 0.5)))
        rows.append(row(number, float(score), fields=fields))
    shares = importances(record(rows, space=MIXED))
    assert list(shares)[:2] == ["a.only", "a.matters"] and set(shares) == set(MIXED.fields)
    assert shares["a.only"] > 0.5 and shares["a.nothing"] < 0.05 and 0 < shares["a.matters"] <= 1
    constant = [row(number, 0.5, fields=each.fields) for number, each in enumerate(rows)]
    assert importances(record(rows[:9], space=MIXED)) == {} == importances(record(constant, space=MIXED))
    shared = importances(record([each for each in rows if "a.only" not in each.fields], space=MIXED))
    assert shared == {} or "a.only" not in shared
