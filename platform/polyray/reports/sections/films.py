"""Episodes of an agent as moving pictures."""

from pathlib import Path

from polyray.reports.page import Details, Film, Section
from polyray.runs.run import FILMS


def section(run: Path) -> Section | None:
    """The films in the run folder, level by level; None where there are none."""
    levels: dict[str, list[Film]] = {}
    for file in sorted((run / FILMS).glob("*-*.gif")):
        level, _, _ = file.stem.rpartition("-")
        levels.setdefault(level, []).append(Film(gif=file.read_bytes(), caption=f"{level}: {file.name}"))
    if not levels:
        return None
    return Section(heading="Episodes", blocks=[Details(summary=level, blocks=films) for level, films in levels.items()])
