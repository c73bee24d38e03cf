"""The report of a run: one page with every section that the files of its folder have something for."""

from pathlib import Path

from polyray.reports.page import write_page
from polyray.reports.sections import SECTIONS
from polyray.runs.folder import job_of

REPORT = "report.html"


def write_report(run: Path) -> Path:
    """Compose report.html from the files in the run folder `run`, finished or not; its path.

    The same files give the same bytes.

    Raises:
        InputError: the folder holds no run, or a file of it cannot be read.
    """
    job = job_of(run)
    sections = [section for build in SECTIONS.values() if (section := build(run)) is not None]
    write_page(run / REPORT, f"{job}: {run.absolute().name}", sections)
    return run / REPORT
