"""A sweep shown while it runs: a live table in the terminal, and sweep.json and report.html in its folder."""

import shlex
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from polyray.config import Section
from polyray.errors import PolyrayError
from polyray.reports.console import print_note
from polyray.reports.report import REPORT
from polyray.reports.sweep.report import write_sweep_report
from polyray.reports.sweep.terminal import overview, print_ends
from polyray.sweeps.outcome import BEST, write_best, write_outcome
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.wording import fields_text, goal_text, progress_text

TABLE_SECONDS, FILES_SECONDS = 0.5, 10.0  # between two tables, and between two writings of the files, at least
SHARE = 0.02  # of the time, at most, that either takes
WHOLE = 200  # lines of an overview that nothing cuts


class Rhythm:
    """Times at which something is due that must not come too often, nor cost too large a share of the time."""

    def __init__(self, every: float, share: float = SHARE, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._share, self._clock, self._next = every, share, clock, float("-inf")

    def due(self) -> bool:
        """Whether it is time."""
        return self._clock() >= self._next

    def run(self, action: Callable[[], object]) -> None:
        """Do it, and wait in proportion to the time that it took."""
        begun = self._clock()
        action()
        ended = self._clock()
        self._next = ended + max(self._every, (ended - begun) / self._share)


class SweepTable:
    """The best trials on a console: a table that changes in its place, or a plain line for each trial that ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._before: SweepRecord | None = None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, record: SweepRecord) -> None:
        """Show how the sweep stands."""
        if self._live is not None:
            self._live.update(overview(record, self._console.height), refresh=True)
        else:
            print_ends(self._console, self._before, record)
        self._before = record


class SweepDisplay:
    """The table and the files of a running sweep.

    The driver calls `tick` as often as it likes; leaving the `with` block shows the table a last time. `finish`
    writes the files once the sweep no longer runs.

    Args:
        read: how the sweep stands; called only when something is due.
    """

    def __init__(self, read: Callable[[], SweepRecord], console: Console) -> None:
        self._read, self._console, self._table = read, console, SweepTable(console)
        self._table_rhythm, self._files_rhythm = Rhythm(TABLE_SECONDS), Rhythm(FILES_SECONDS)
        self._problem = ""

    def __enter__(self) -> Self:
        self._table.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._table.show(self._read())
        finally:
            self._table.__exit__(kind, error, trace)

    def tick(self) -> None:
        """Bring up to date what is due; files that cannot be written are reported once, and tried again."""
        if self._table_rhythm.due():
            self._table_rhythm.run(lambda: self._table.show(self._read()))
        if self._files_rhythm.due():
            self._files_rhythm.run(self._write_files)

    def _write_files(self) -> None:
        try:
            write_files(self._read())
        except PolyrayError as error:  # the trials go on
            if str(error) != self._problem:
                self._problem = str(error)
                print_note(self._console, f"The report of the sweep was not written. {error}")


def watch(read: Callable[[], SweepRecord], console: Console, *, seconds: float = 1.0) -> None:
    """Show a sweep until no process is at work on it.

    Args:
        seconds: between two looks, at least; four times as long as a look takes.
    """
    with SweepTable(console) as table:
        while True:
            begun = time.monotonic()
            record = read()
            table.show(record)
            if not record.running:
                break
            time.sleep(max(seconds, 4 * (time.monotonic() - begun)))
    if not console.is_terminal:
        console.print(overview(record, height=WHOLE))


def finish(record: SweepRecord, config: Section | None, console: Console) -> None:
    """Write all files of a sweep that no longer runs, and say what it has found.

    Args:
        config: of the best trial; None where there is none.

    Raises:
        StorageError: the disk refused.
    """
    best = record.best
    if best is not None and config is not None:
        write_best(record, config)
        print_note(
            console, f"Best: trial {best.number}, {record.goals[0].name} {goal_text(best)}: {fields_text(best.fields)}."
        )
        if record.rates is not None:
            print_note(console, record.rates.text())
        print_note(console, f"Run it: {shlex.join(['polyray', 'run', record.job, '--config', record.shown(BEST)])}")
    write_files(record)
    print_note(console, f"{progress_text(record)}. The report is in {record.shown(REPORT)}.")


def write_files(record: SweepRecord) -> None:
    """Write sweep.json and report.html.

    Raises:
        StorageError: the disk refused.
    """
    write_outcome(record)
    write_sweep_report(record)
