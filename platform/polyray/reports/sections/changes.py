"""The entries that sparse skills change: their share of each layer, and how much of each tensor changed."""

import math
from collections.abc import Mapping
from pathlib import Path

from polyray.formats.layer_names import layer_of
from polyray.modules.changes import SparseChange
from polyray.reports.figure import to_svg
from polyray.reports.page import Block, Cell, Details, Picture, Section, Table
from polyray.reports.plots import method_bars
from polyray.skills.card import CARD
from polyray.skills.skill import load_skill
from polyray.skills.sparse_delta import KIND, sparse_delta

SKILLS = "skills"


def section(run: Path) -> Section | None:
    """Density by layer and a table of tensors for each sparse skill of the run; None where there is none."""
    blocks: list[Block] = []
    for file in sorted((run / SKILLS).glob(f"[!.]*/{CARD}")):
        skill = load_skill(file.parent)
        if skill.card.kind == KIND and skill.card.options["entries"]:
            blocks += _blocks(skill.card.name, sparse_delta(skill).changes)
    return Section(heading="Changed entries", blocks=blocks) if blocks else None


def _blocks(name: str, changes: Mapping[str, SparseChange]) -> list[Block]:
    counts: dict[str, list[int]] = {}
    for parameter, change in changes.items():
        of_layer = counts.setdefault(layer_of(parameter), [0, 0])
        of_layer[0] += change.n_entries
        of_layer[1] += math.prod(change.shape)
    density = {layer: n / size for layer, (n, size) in counts.items()}
    total = sum(change.n_entries for change in changes.values())
    picture = Picture(
        svg=to_svg(method_bars({name: density}, x_label="share of entries")),
        caption=f"{name}: {total:,} entries; their share of each layer's parameters, without those that have none.",
    )
    rows: list[list[Cell]] = [
        [
            parameter, change.n_entries, 100 * change.n_entries / math.prod(change.shape),
            100 * change.n_entries / total, float(change.values.float().abs().mean()),
            float(change.values.float().abs().max()),
        ]
        for parameter, change in changes.items()
        if change.n_entries
    ]  # fmt: skip
    header = ["parameter", "entries", "% of it", "% of the skill", "mean |change|", "largest |change|"]
    return [picture, Details(summary=f"{name}, tensor by tensor", blocks=[Table(header=header, rows=rows)])]
