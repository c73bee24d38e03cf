"""A finished trial on TensorBoard's HParams page."""

import random
from collections.abc import Mapping
from pathlib import Path

from polyray.progress import last_line
from polyray.runs.hyperparameters import Scalar, write_hyperparameters
from polyray.runs.metrics import METRICS
from polyray.runs.result import read_result
from polyray.sweeps.fields import Value
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.goals import value_of
from polyray.sweeps.options import goals_of


def write_events(sweep: SweepFolder, fields: Mapping[str, Value], folder: Path) -> None:
    """Write the fields and the goals of a trial into the folder of one of its runs, which is done.

    Raises:
        StorageError: the disk refused.
    """
    result = read_result(folder)
    if result is None:
        return
    values = {goal.name: value_of(result, goal) for goal in goals_of(sweep.space, sweep.options)}
    examples = {name: _cell(field.draw(random.Random(0))) for name, field in sweep.space.fields.items()}
    step = (last_line(folder / METRICS) or {}).get("step", 0)
    goals = {name: value for name, value in values.items() if value is not None}
    write_hyperparameters(folder, {name: _cell(x) for name, x in fields.items()}, examples, goals, step)


def _cell(value: Value) -> Scalar:
    """The value as the page shows it: lists are texts."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value
