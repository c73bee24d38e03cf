"""Fields, values and scores of trials as short texts."""

from collections.abc import Mapping, Sequence
from statistics import stdev

from polyray.sweeps.fields import Value
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.rows import TrialRow


def short_fields(names: Sequence[str]) -> dict[str, str]:
    """The ends of dotted names, as long as they must be to differ: training.lr -> lr."""
    labels = {}
    for name in names:
        words = name.split(".")
        ends = [".".join(words[-length:]) for length in range(1, len(words) + 1)]
        labels[name] = next(end for end in ends if end == name or not _is_shared(end, name, names))
    return labels


def _is_shared(end: str, name: str, names: Sequence[str]) -> bool:
    return any(f".{other}".endswith(f".{end}") for other in names if other != name)


def value_text(value: Value | None) -> str:
    """A value of a field, floats with three digits; empty for None, a field that is not read."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(map(value_text, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def fields_text(fields: Mapping[str, Value]) -> str:
    """Fields and values in one line."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in fields.items())


def goal_text(row: TrialRow) -> str:
    """The first goal, with the standard deviation over the repeats where there are some; empty without one."""
    if row.goal is None:
        return ""
    deviation = spread(row)
    return f"{row.goal:.4g}" if deviation is None else f"{row.goal:.4g} ± {deviation:.2g}"


def spread(row: TrialRow) -> float | None:
    """Standard deviation (n - 1) of the first goal over the repeats; None for fewer than two."""
    return stdev(row.seed_goals) if len(row.seed_goals) > 1 else None


def progress_text(record: SweepRecord) -> str:
    """The counts of trials by state in one line."""
    counts = {state: sum(row.state == state for row in record.rows) for state in ("running", "stopped", "failed")}
    others = "".join(f", {count} {state}" for state, count in counts.items() if count)
    return f"{record.n_ended} of {record.planned} trials ended{others}"
