"""Sections of a run's report: each is composed from the files in the run folder, or says that it has nothing to show.

A new section is one function here: section(run folder) -> Section | None.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from polyray.reports.page import Section
from polyray.reports.sections import (
    about,
    agreement,
    allocation,
    changes,
    combined,
    curves,
    few_shot,
    films,
    merge,
    merged,
    responses,
    scores,
    success,
    time_shares,
    transfer,
)

SECTIONS: Mapping[str, Callable[[Path], Section | None]] = {
    "few_shot": few_shot.section,
    "differences": few_shot.differences,
    "transfer": transfer.section,
    "transfer_density": transfer.density,
    "merged": merged.section,
    "combined": combined.section,
    "responses": responses.section,
    "success": success.section,
    "scores": scores.section,
    "loss_curves": curves.loss,
    "success_curves": curves.success,
    "validation_curves": curves.validation,
    "time_shares": time_shares.section,
    "allocation": allocation.section,
    "hierarchy": allocation.tree,
    "subsets": allocation.skill_subsets,
    "site_by_site": allocation.site_by_site,
    "films": films.section,
    "changes": changes.section,
    "merge": merge.section,
    "agreement": agreement.section,
    "about": about.section,
}
"""All sections, in the order of the page."""
