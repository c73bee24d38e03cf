"""The goals of a sweep as numbers in the files of a run."""

import math
from collections.abc import Mapping
from typing import Any

from polyray.sweeps.space import Goal

SECONDS = "seconds"  # a goal that stands beside a result's metrics
PARAMETERS = "parameters"  # a metric of several counts, whose sum is the goal


def value_at(values: Mapping[str, Any], name: str) -> float | None:
    """The finite number under a dotted name; task names may have dots themselves. None where there is none."""
    if name in values:
        value = values[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return float(value) if is_number else None
    for key, inner in values.items():
        if name.startswith(f"{key}.") and isinstance(inner, Mapping):
            value = value_at(inner, name.removeprefix(f"{key}."))
            if value is not None:
                return value
    return None


def value_of(result: Mapping[str, Any], goal: Goal) -> float | None:
    """The value of a goal in the result of a finished run (see `polyray.runs.result`); None where it has none."""
    counts = result["metrics"].get(PARAMETERS)
    if goal.name == PARAMETERS and isinstance(counts, Mapping):
        return float(sum(counts.values()))
    source = result if goal.name == SECONDS else result["metrics"]
    return value_at(source, goal.name)


def value_along(line: Mapping[str, Any], goal: Goal) -> float | None:
    """The value of a goal on the way, in a line of metrics.jsonl; None where the line tells none.

    The goal itself, where lines have it (validation.score); for another goal that is to be large the validation's
    score, and for one that is to be small its loss.
    """
    value = value_at(line, goal.name)
    return value if value is not None else value_at(line, f"validation.{'score' if goal.mode == 'max' else 'loss'}")
