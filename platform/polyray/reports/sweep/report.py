"""The report of a sweep: one page with every section that its record has something for."""

from collections.abc import Callable, Mapping
from pathlib import Path

from polyray.reports.page import Section, write_page
from polyray.reports.report import REPORT
from polyray.reports.sweep import budget, coordinates, goals, importance, rates, schedules, tables, tradeoff
from polyray.sweeps.record import SweepRecord

REFRESH = 15  # seconds between two readings by a browser while the sweep runs

SECTIONS: Mapping[str, Callable[[SweepRecord], Section | None]] = {
    "result": tables.result,
    "rates": rates.section,
    "coordinates": coordinates.section,
    "goals": goals.section,
    "tradeoff": tradeoff.section,
    "budget": budget.section,
    "importance": importance.section,
    "schedules": schedules.section,
    "trials": tables.trials,
    "failed": tables.failed,
    "begun_again": tables.begun_again,
    "about": tables.about,
}
"""All sections, in the order of the page."""


def write_sweep_report(record: SweepRecord) -> Path:
    """Compose report.html in the sweep's folder; its path. A browser reads it again and again while the sweep runs.

    Raises:
        InputError: a file of a trial cannot be read.
        StorageError: the disk refused.
    """
    sections = [section for build in SECTIONS.values() if (section := build(record)) is not None]
    title = f"Sweep of {record.job} over {record.name}: {record.path.absolute().name}"
    write_page(record.path / REPORT, title, sections, refresh=REFRESH if record.running else None)
    return record.path / REPORT
