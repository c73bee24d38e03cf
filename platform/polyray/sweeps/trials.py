"""The rows of a sweep, read from the files of its trials."""

import statistics
from functools import cached_property
from pathlib import Path
from typing import Any

from polyray.progress import last_line
from polyray.runs.folder import CONFIG, STARTS
from polyray.runs.metrics import METRICS, whole_lines
from polyray.runs.result import read_result
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.goals import value_along, value_of
from polyray.sweeps.journal import Entry, read_entries
from polyray.sweeps.options import goals_of, searcher_of
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.rows import State, TrialRow
from polyray.sweeps.searchers import GridSearcher, Trial
from polyray.sweeps.space import Goal
from polyray.sweeps.verdict import Verdict, read_verdict
from polyray.training.schedule import SCHEDULE, read_schedule


class TrialRows:
    """The rows of a sweep; configurations, and trials that have ended, are read once."""

    def __init__(self, sweep: SweepFolder) -> None:
        self._sweep, self._goals = sweep, goals_of(sweep.space, sweep.options)
        self._entries: list[Entry] = []
        self._ended: dict[int, TrialRow] = {}

    @cached_property
    def planned(self) -> int:
        """Number of trials that the sweep is to have."""
        searcher = searcher_of(self._sweep.space, self._sweep.options)
        return len(searcher) if isinstance(searcher, GridSearcher) else self._sweep.options.trials

    def read(self) -> list[TrialRow]:
        """All rows as the files are now, in order of their numbers.

        Raises:
            InputError: a file was altered.
        """
        self._entries += read_entries(self._sweep.path, after=len(self._entries))
        return [self.row(entry) for entry in self._entries]

    def row(self, entry: Entry) -> TrialRow:
        """The row of one configuration.

        Raises:
            InputError: a file was altered.
        """
        if entry.number not in self._ended:
            row = _row(self._sweep, entry, self._goals)
            if not row.has_ended:
                return row
            self._ended[entry.number] = row
        return self._ended[entry.number]


def read_rows(sweep: SweepFolder) -> list[TrialRow]:
    """The rows of a sweep as its files are now.

    Raises:
        InputError: a file was altered.
    """
    return TrialRows(sweep).read()


def record_of(sweep: SweepFolder, rows: TrialRows | None = None, running: bool | None = None) -> SweepRecord:
    """The sweep as its files are now.

    Args:
        rows: those of an earlier look, which need not be read again.
        running: whether a process is at work on it; None: whether one holds the lock.

    Raises:
        InputError: a file was altered.
    """
    rows = rows if rows is not None else TrialRows(sweep)
    return SweepRecord(
        path=sweep.path, url=sweep.url, job=sweep.job, name=sweep.name, space=sweep.space,
        goals=goals_of(sweep.space, sweep.options),
        options=sweep.options.model_dump(mode="json"), planned=rows.planned, rows=tuple(rows.read()),
        running=sweep.is_busy if running is None else running,
    )  # fmt: skip


def trial_of(row: TrialRow) -> Trial:
    """The row as a searcher is told it; a trial that waits counts as running."""
    state = "running" if row.state == "waiting" else row.state
    goals = row.goals if row.goals and state in ("done", "stopped") else None
    return Trial(number=row.number, fields=dict(row.fields), goals=goals, state=state, step=row.step)


def _row(sweep: SweepFolder, entry: Entry, goals: tuple[Goal, ...]) -> TrialRow:
    folders, seeds = sweep.folders(entry.number), sweep.seeds(entry.fields)
    results = [read_result(folder) for folder in folders]
    lines = [last_line(folder / METRICS) or {} for folder in folders]
    state, reason = _state(folders, results, read_verdict(sweep.verdict_file(entry.number)))
    figures = [_figures(goals, result, line) for result, line in zip(results, lines, strict=True)]
    complete = [values for values in figures if None not in values]
    first = [values[0] for values in figures if values[0] is not None]
    steps = [line.get("step", 0) for line in lines]
    return TrialRow(
        number=entry.number, fields=entry.fields, state=state, reason=reason, folders=folders, seeds=seeds,
        donor=_donor(folders, entry), goal=statistics.fmean(first) if first else None, seed_goals=tuple(first),
        goals=tuple(statistics.fmean(values) for values in zip(*complete, strict=True)),
        step=sum(step for step in steps if isinstance(step, int)),
        seconds=sum(result["seconds"] for result in results if result is not None),
        starts=sum(len(whole_lines(folder / STARTS)) for folder in folders),
    )  # fmt: skip


def _donor(folders: tuple[Path, ...], entry: Entry) -> int | None:
    """The trial whose state this one has taken over last, as a member of a population."""
    files = [folder / SCHEDULE for folder in folders if (folder / SCHEDULE).exists()]
    return read_schedule(files[0]).donor if files else entry.donor


def _state(folders: tuple[Path, ...], results: list[dict[str, Any] | None], verdict: Verdict) -> tuple[State, str]:
    """State of a trial, and the reason for its end where it did not finish."""
    if verdict.state != "open":
        return verdict.state, verdict.reason
    if all(result is not None and result["status"] == "done" for result in results):
        return "done", ""
    return ("running" if any((folder / CONFIG).exists() for folder in folders) else "waiting"), ""


def _figures(goals: tuple[Goal, ...], result: dict[str, Any] | None, line: dict[str, Any]) -> tuple[float | None, ...]:
    """The value of each goal in one run: at its end, or as far as it has come."""
    if result is not None and result["status"] == "done":
        return tuple(value_of(result, goal) for goal in goals)
    return tuple(value_along(line, goal) for goal in goals)
