"""The run itself: job, status, time, versions and config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyray.reports.page import Block, Cell, Details, Facts, Section
from polyray.runs.folder import job_of, read_config
from polyray.runs.result import read_result


def section(run: Path) -> Section:
    """Facts about the run, its whole config folded in."""
    result = read_result(run) or {}
    facts: dict[str, Cell] = {"job": job_of(run), "status": result.get("status", "not ended yet")}
    if "seconds" in result:
        facts["seconds, over all starts"] = result["seconds"]
    facts |= result.get("versions", {})
    config: list[Block] = [Facts(facts=flat(read_config(run)))]
    return Section(heading="Run", blocks=[Facts(facts=facts), Details(summary="Config", blocks=config)])


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Cell]:
    """Nested values under dotted names, as texts."""
    facts: dict[str, Cell] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            facts |= flat(value, f"{prefix}{name}.")
        else:
            facts[prefix + name] = str(value)
    return facts
