"""Schedules that population based training made of fields that change in training."""

from collections.abc import Mapping, Sequence

from polyray.reports.figure import to_svg
from polyray.reports.page import Block, Picture, Section
from polyray.reports.plots import learning_curves
from polyray.sweeps.record import SweepRecord
from polyray.training.schedule import SCHEDULE, read_schedule

MOST_LINES = 10

Changes = Sequence[tuple[float, Mapping[str, float]]]


def section(record: SweepRecord) -> Section | None:
    """A picture for each field that changed, the best ten trials in each; None where no trial has a schedule."""
    schedules: dict[str, tuple[Changes, float]] = {}
    for row in record.ranked:
        files = [folder / SCHEDULE for folder in row.folders if (folder / SCHEDULE).exists()]
        if files and len(schedules) < MOST_LINES:
            schedules[f"trial {row.number}"] = (read_schedule(files[0]).changes, row.step / max(1, len(row.folders)))
    names = sorted({name for changes, _ in schedules.values() for _, values in changes for name in values})
    blocks: list[Block] = []
    for name in names:
        curves = {trial: staircase(changes, name, end) for trial, (changes, end) in schedules.items()}
        log = all(value > 0 for _, values in curves.values() for value in values)
        picture = to_svg(learning_curves({t: c for t, c in curves.items() if c[0]}, y_label=name, log=log))
        blocks.append(Picture(svg=picture, caption=f"{name} by step, following the trials whose state was taken over."))
    return Section(heading="Schedules", blocks=blocks) if blocks else None


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
