"""The run itself: job, status, time, versions and config."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyray.config import dotted
from polyray.reports.meanings import meanings_of
from polyray.reports.page import Cell, Details, Facts, Section
from polyray.runs.folder import STARTS, job_of, read_config
from polyray.runs.metrics import read_lines
from polyray.runs.result import read_result


def section(run: Path) -> Section:
    """Facts about the run, its whole config folded in."""
    result = read_result(run) or {}
    facts: dict[str, Cell] = {"job": job_of(run), "status": result.get("status", "not ended yet")}
    if "seconds" in result:
        facts["seconds, over all starts"] = result["seconds"]
    facts |= _starts(read_lines(run / STARTS))
    config_values: dict[str, Cell] = {name: str(value) for name, value in dotted(read_config(run)).items()}
    facts |= {name: value for name, value in config_values.items() if name.rpartition(".")[2] in ("seed", "seeds")}
    facts |= result.get("versions", {})
    about = Facts(facts=facts, meanings=meanings_of(facts))
    return Section(heading="Run", blocks=[about, Details(summary="Config", blocks=[Facts(facts=config_values)])])


def _starts(starts: Sequence[Mapping[str, Any]]) -> dict[str, Cell]:
    """The first start, the last one where it is another, and its command, from the lines of STARTS."""
    if not starts:
        return {}
    times: dict[str, Cell] = {"started": starts[0]["time"]}
    if len(starts) > 1:
        times |= {"started again": starts[-1]["time"], "starts": len(starts)}
    return times | {"command": starts[-1]["command"]}
