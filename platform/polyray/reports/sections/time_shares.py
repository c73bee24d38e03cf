"""A training of agents in numbers: frames, episodes, parameters, and what the time was spent on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyray.progress import PROGRESS
from polyray.reports.meanings import meanings_of
from polyray.reports.page import Block, Cell, Facts, Prose, Section, Table
from polyray.runs.metrics import read_lines
from polyray.runs.result import final_metrics

SHARES = ("environment", "inference", "learning", "other")  # parts of an iteration


def section(run: Path) -> Section | None:
    """Facts, shares of the time, and imitation if there was any; None for runs without agents."""
    metrics = final_metrics(run)
    if "training" not in metrics:
        return None
    lines = [line for line in read_lines(run / PROGRESS) if line.get("seconds")]
    facts = _facts(metrics, lines)
    blocks: list[Block] = [Facts(facts=facts, meanings=meanings_of(facts))]
    if lines:
        blocks.append(_shares(lines))
    if metrics["cloning"]:
        blocks.append(_imitation(metrics["cloning"]))
    return Section(heading="Training", blocks=blocks)


def _facts(metrics: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> dict[str, Cell]:
    training = metrics["training"]
    seconds = sum(line["seconds"]["iteration"] for line in lines)
    return {
        "frames": training["frames"],
        "episodes": training["episodes"],
        "frames per second": sum(line["frames_now"] for line in lines) / seconds if seconds else None,
        **{f"parameters, {name}": count for name, count in metrics["parameters"].items()},
        "rollouts that did not come back": training["runners"]["lost"],
        "runners that were started again": training["runners"]["restarted"],
    }


def _shares(lines: Sequence[Mapping[str, Any]]) -> Table:
    seconds = sum(line["seconds"]["iteration"] for line in lines)
    rows: list[list[Cell]] = [[name, 100 * sum(line["seconds"][name] for line in lines) / seconds] for name in SHARES]
    return Table(header=["spent on", "share of the time, %"], rows=rows)


def _imitation(cloning: Mapping[str, Any]) -> Prose:
    first, last = cloning["losses"][0], cloning["losses"][-1]
    return Prose(
        text=f"Before that {cloning['episodes']} demonstrations of the bot were imitated (loss {first:.3f} to "
        f"{last:.3f}); it failed in {cloning['failures']}."
    )
