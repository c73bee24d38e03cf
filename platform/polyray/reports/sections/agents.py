"""report.html of a training of agents."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polyray.analysis.allocation import analyse
from polyray.envs.levels import EXPERT
from polyray.reports import (
    Details,
    Facts,
    Film,
    Picture,
    Prose,
    Section,
    Table,
    allocation_map,
    learning_curves,
    site_maps,
    to_svg,
    write_page,
)
from polyray.reports.page import Block, Cell
from polyray.reports.sections.language import REPORT
from polyray.rl.policy import ModularPolicy

POINTS = 400  # of a curve, at most


def write_agent(
    out: Path,
    kinds: Mapping[str, str],
    window: int,
    policy: ModularPolicy,
    metrics: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    films: Mapping[str, Sequence[Path]],
) -> None:
    """Scores, success against episodes, the allocation beside the experts', and films."""
    curves = _curves(lines, window)
    sections = [_scores(metrics), curves, _training(kinds, metrics, lines), *_allocation(policy)]
    if any(films.values()):
        sections.append(_films(films))
    write_page(out / REPORT, f"BabyAI: {out.name}", sections)


def _scores(metrics: Mapping[str, Any]) -> Section:
    rows: list[list[Cell]] = [
        [name, 100 * values["success"], values["return"], values["length"]] for name, values in metrics["tasks"].items()
    ]
    table = Table(
        header=["level", "success, %", "return", "steps"], rows=[*rows, ["mean", 100 * metrics["mean"], None, None]],
        caption="Start states that training has not seen; the routing draws no noise.",
    )  # fmt: skip
    return Section(heading="Success on unseen levels", blocks=[table])


def _curves(lines: Sequence[Mapping[str, Any]], window: int) -> Section:
    """Success against the episodes of all levels, in the order in which they were played."""
    shown = [line for line in lines if "tasks" in line]
    shown = shown[:: -(-len(shown) // POINTS)] if shown else []
    episodes = [float(line["episodes"]) for line in shown]
    names = list(shown[-1]["tasks"]) if shown else []
    curves = {"mean": (episodes, [_number(line["success"]) for line in shown])}
    curves |= {
        name: (episodes, [_number(line["tasks"].get(name, {}).get("success")) for line in shown]) for name in names
    }
    picture = to_svg(learning_curves(curves, y_label="success", x_label="episodes, all levels", target=0.99))
    caption = f"Share of successes among each level's last {window:,} episodes; the dashed line is 99%."
    return Section(heading="Learning curves", blocks=[Picture(svg=picture, caption=caption)])


def _training(kinds: Mapping[str, str], metrics: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> Section:
    timed = [line["seconds"] for line in lines if line.get("seconds")]
    total = sum(own["iteration"] for own in timed)
    training = metrics["training"]
    facts: dict[str, Cell] = {
        **kinds,
        "frames": training["frames"],
        "episodes": training["episodes"],
        "frames a second": sum(line["frames_now"] for line in lines if line.get("seconds")) / total if total else None,
        **{f"parameters, {name}": count for name, count in metrics["parameters"].items()},
        "rollouts that did not come back": training["runners"]["lost"],
        "runners that were started again": training["runners"]["restarted"],
    }
    blocks: list[Block] = [Facts(facts=facts)]
    if total:
        names = ("environment", "inference", "learning", "other")
        rows: list[list[Cell]] = [[name, 100 * sum(own[name] for own in timed) / total] for name in names]
        blocks.append(Table(header=["spent on", "share of the time, %"], rows=rows))
    if metrics["cloning"]:
        cloning = metrics["cloning"]
        blocks.append(
            Prose(
                text=f"Before that {cloning['episodes']} demonstrations of the bot were imitated "
                f"(loss {cloning['losses'][0]:.3f} to {cloning['losses'][-1]:.3f}); it failed in {cloning['failures']}."
            )
        )
    return Section(heading="Training", blocks=blocks)


def _allocation(policy: ModularPolicy) -> list[Section]:
    allocation = policy.router.allocation()
    assert allocation is not None  # routers of agents are `by_task`
    names = allocation.tasks
    probabilities = allocation.probabilities.cpu().double().numpy()  # [sites, levels, skills]
    if probabilities.shape[2] < 2:
        return []
    found = analyse(probabilities)
    facts = {name.replace("_", " "): value for name, value in found.metrics().items()}
    blocks: list[Block] = [
        Facts(facts=facts),
        Picture(
            svg=to_svg(allocation_map(probabilities, names)),
            caption="Chance that a level uses a skill, mean over sites.",
        ),
    ]
    if all(name in EXPERT for name in names):
        table = np.zeros((len(names), 1 + max(max(EXPERT[name]) for name in names)))
        for row, name in enumerate(names):
            table[row, list(EXPERT[name])] = 1
        caption = "The experts' allocation (Ponti et al. 2023, Table 2); skills have no order in common with the above."
        blocks.append(Picture(svg=to_svg(allocation_map(table, names)), caption=caption))
    sections = [Section(heading="Allocation of skills to levels", blocks=blocks)]
    if len(probabilities) > 1:
        maps = to_svg(site_maps(found, allocation.tables))
        caption = "Density and discreteness by skill and site."
        sections.append(Section(heading="Site by site", blocks=[Picture(svg=maps, caption=caption)]))
    return sections


def _films(films: Mapping[str, Sequence[Path]]) -> Section:
    blocks: list[Block] = []
    for level, paths in films.items():
        own = [Film(gif=path.read_bytes(), caption=f"{level}: {path.name}") for path in paths]
        blocks.append(Details(summary=level, blocks=own))
    return Section(heading="Episodes", blocks=blocks)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
