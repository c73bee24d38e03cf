"""The result of a sweep, its trials, those that failed or were begun again, and the sweep itself."""

import shlex
from pathlib import PurePath

from polyray.config import dotted
from polyray.reports.page import Block, Cell, Facts, Links, Prose, Section, Table
from polyray.reports.report import REPORT
from polyray.runs.folder import LOG
from polyray.runs.result import versions
from polyray.sweeps.outcome import BEST, within
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.rows import TrialRow
from polyray.sweeps.wording import fields_text, goal_text, progress_text, short_fields, value_text

MOST_ROWS = 500
STATES = {
    "running": "The sweep is running; this page is written anew while it does.",
    "done": "The sweep is done.",
    "interrupted": "Nobody is at work on the sweep; the command that began it goes on with it.",
}


def result(record: SweepRecord) -> Section:
    """The best trial, and how far the sweep is."""
    blocks: list[Block] = [Prose(text=f"{STATES[record.state]} {progress_text(record)}.")]
    best = record.best
    if best is None:
        blocks.append(Prose(text="No trial has ended with a goal yet."))
    else:
        goal = record.goals[0]
        facts: dict[str, Cell] = {"best trial": _reports(record, best), f"{goal.name} ({goal.mode})": goal_text(best)}
        facts |= {name: value_text(value) for name, value in best.fields.items()}
        if (record.path / BEST).exists():
            facts["run it"] = shlex.join(["polyray", "run", record.job, "--config", record.shown(BEST)])
        blocks.append(Facts(facts=facts))
    return Section(heading="Result", blocks=blocks)


def trials(record: SweepRecord) -> Section | None:
    """All trials, best first, with links to their own reports; None before the first."""
    if not record.rows:
        return None
    names = record.varied
    labels = short_fields(names)
    shown = record.ranked[:MOST_ROWS]
    rows: list[list[Cell]] = [
        [
            _reports(record, row), *(value_text(row.fields.get(name)) for name in names), goal_text(row),
            *_other_goals(record, row), row.step, round(row.seconds, 1), row.state,
        ]
        for row in shown
    ]  # fmt: skip
    goals = [goal.name for goal in record.goals]
    header = ["trial", *(labels[name] for name in names), *goals, "steps", "seconds", "state"]
    caption = "Best first; ±: standard deviation over seeds. An empty field is one that the trial does not read."
    if len(shown) < len(record.rows):
        caption += f" The best {len(shown)} of {len(record.rows)}; sweep.json has all."
    return Section(heading="Trials", blocks=[Table(header=header, rows=rows, caption=caption)])


def failed(record: SweepRecord) -> Section | None:
    """Failed trials, why they failed, and their logs; None where there are none."""
    rows: list[list[Cell]] = [
        [row.number, fields_text(row.fields), row.reason, _links(record, row, LOG)]
        for row in record.rows
        if row.state == "failed"
    ]
    if not rows:
        return None
    table = Table(header=["trial", "fields", "reason", "log"], rows=rows[:MOST_ROWS])
    return Section(heading="Failed trials", blocks=[table])


def begun_again(record: SweepRecord) -> Section | None:
    """Trials that were lost or failed and went on; None where there are none."""
    rows: list[list[Cell]] = [
        [row.number, row.starts, row.step, row.state, row.reason] for row in record.rows if row.was_begun_again
    ]
    if not rows:
        return None
    caption = "Their process or machine was lost, they failed and were tried again, or the sweep was interrupted."
    table = Table(header=["trial", "starts", "steps", "state", "reason"], rows=rows[:MOST_ROWS], caption=caption)
    return Section(heading="Trials that were begun again", blocks=[table])


def about(record: SweepRecord) -> Section:
    """Job, space, goals, options and versions."""
    facts: dict[str, Cell] = {"job": record.job, "space": record.name, "about": record.space.about}
    facts |= {f"goal {number}": f"{goal.name} ({goal.mode})" for number, goal in enumerate(record.goals, start=1)}
    facts |= {f"sweep.{name}": str(value) for name, value in dotted(record.options).items()}
    facts |= versions()
    fields: dict[str, Cell] = {name: _spelled(record, name) for name in record.space.fields}
    meanings = {name: field.about for name, field in record.space.fields.items() if field.about}
    return Section(heading="Sweep", blocks=[Facts(facts=facts), Facts(facts=fields, meanings=meanings)])


def _spelled(record: SweepRecord, name: str) -> str:
    """A field's range in the words of space files."""
    return ", ".join(f"{word} {values}" for word, values in record.space.fields[name].spelled().items())


def _other_goals(record: SweepRecord, row: TrialRow) -> list[Cell]:
    values: list[Cell] = list(row.goals[1:])
    return values if len(values) == len(record.goals) - 1 else [None] * (len(record.goals) - 1)


def _reports(record: SweepRecord, row: TrialRow) -> Cell:
    """The trial's number as a link to its report, or links to those of its repeats; plain before there is one."""
    links = _links(record, row, REPORT)
    if links is None:
        return row.number
    (_, first), *others = links.links
    repeats = [(f"{row.number}-{number}", path) for number, (_, path) in enumerate(links.links)]
    return Links(links=repeats if others else [(str(row.number), first)])


def _links(record: SweepRecord, row: TrialRow, name: str) -> Links | None:
    """Links to a file of each of the trial's folders, where they are there."""
    files = [folder / name for folder in row.folders if (folder / name).exists()]
    links = [(name, PurePath(within(record.path, file))) for file in files if file.is_relative_to(record.path)]
    return Links(links=links) if links else None
