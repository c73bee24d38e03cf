"""Schedules that population based training made of fields that change in training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, FiniteFloat, ValidationError

from polyray.errors import InputError
from polyray.formats import read_json_object
from polyray.reports.figure import to_svg
from polyray.reports.page import Block, Picture, Section
from polyray.reports.plots import learning_curves
from polyray.sweeps.record import SweepRecord

SCHEDULE = "schedule.json"
MOST_LINES = 10

Changes = Sequence[tuple[float, Mapping[str, float]]]


def section(record: SweepRecord) -> Section | None:
    """A picture for each field that changed, the best ten trials in each; None where no trial has a schedule."""
    schedules: dict[str, tuple[Changes, float]] = {}
    for row in record.ranked:
        files = [folder / SCHEDULE for folder in row.folders if (folder / SCHEDULE).exists()]
        if files and len(schedules) < MOST_LINES:
            schedules[f"trial {row.number}"] = (read_schedule(files[0]), row.step / max(1, len(row.folders)))
    names = sorted({name for changes, _ in schedules.values() for _, values in changes for name in values})
    blocks: list[Block] = []
    for name in names:
        curves = {trial: staircase(changes, name, end) for trial, (changes, end) in schedules.items()}
        log = all(value > 0 for _, values in curves.values() for value in values)
        picture = to_svg(learning_curves({t: c for t, c in curves.items() if c[0]}, y_label=name, log=log))
        blocks.append(Picture(svg=picture, caption=f"{name} by step, following the trials whose state was taken over."))
    return Section(heading="Schedules", blocks=blocks) if blocks else None


def read_schedule(file: Path) -> Changes:
    """Steps, each with the fields that change there and their new values: {"changes": [[step, {field: value}], ...]}.

    Raises:
        InputError: the file is no schedule.
    """
    try:
        return _Schedule.model_validate(read_json_object(file)).changes
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise InputError(f"{file} is no schedule: {where}: {problem['msg']}.") from None


class _Schedule(BaseModel):
    """The content of schedule.json."""

    changes: list[tuple[FiniteFloat, dict[str, FiniteFloat]]]


def staircase(changes: Changes, name: str, end: float) -> tuple[list[float], list[float]]:
    """Steps and values of one field: level between its changes, and up to the step `end`."""
    steps: list[float] = []
    levels: list[float] = []
    for step, values in changes:
        if name in values:
            steps += [step] * (2 if levels else 1)
            levels += [*levels[-1:], values[name]]
    if steps and end > steps[-1]:
        steps.append(end)
        levels.append(levels[-1])
    return steps, levels
