"""Sweeps made by hand: spaces, rows and records."""

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyray.runs.result import write_result
from polyray.sweeps.fields import LogUniform, OneOf, Value
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.journal import Entry, append_entry
from polyray.sweeps.options import SweepOptions
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.rows import State, TrialRow
from polyray.sweeps.space import Goal, Space

LR, ROUTING_LR = LogUniform(1e-4, 1e-1, about="Rate of the skills."), LogUniform(1e-3, 1.0)
RATES = Space(
    about="two speeds", job="polytropon", goal=Goal("mean"),
    fields={"training.lr": LR, "training.routing_lr": ROUTING_LR},
)  # fmt: skip
BEST_LR, BEST_ROUTING_LR = 3e-3, 6e-2  # of `quadratic`: a ratio of 20


def row(number: int, goal: float | None = None, state: State = "done", **others: Any) -> TrialRow:
    """A trial; with a goal, its one repeat has it."""
    values: dict[str, Any] = {"goals": (goal,), "seed_goals": (goal,)} if goal is not None else {}
    return TrialRow(number=number, state=state, goal=goal, **{"fields": {}, "step": 10, **values, **others})


def record(rows: Sequence[TrialRow], space: Space = RATES, path: Path = Path("sweep"), **others: Any) -> SweepRecord:
    """A sweep of these trials."""
    values = {"goals": (space.goal,), "planned": len(rows), "name": "dual_speed", **others}
    return SweepRecord(path=path, job="polytropon", space=space, rows=tuple(rows), **values)


def quadratic(fields: Mapping[str, Value]) -> float:
    """A score with its maximum 0.8 at BEST_LR and BEST_ROUTING_LR, a parabola in the logarithms of both rates."""
    x = math.log10(float(str(fields["training.lr"])) / BEST_LR)
    y = math.log10(float(str(fields["training.routing_lr"])) / BEST_ROUTING_LR)
    return 0.8 - 0.1 * x * x - 0.1 * y * y


def rated_rows(n: int, *, noise: float = 0.02, repeats: int = 2, sign: float = 1.0) -> list[TrialRow]:
    """Trials at random rates, each with noisy scores of `repeats` seeds."""
    rng = random.Random(0)
    rows = []
    for number in range(n):
        fields = RATES.draw(rng)
        goals = tuple(sign * (quadratic(fields) + rng.gauss(0, noise)) for _ in range(repeats))
        mean = sum(goals) / repeats
        rows.append(row(number, mean, fields=fields, seed_goals=goals, seeds=tuple(range(repeats))))
    return rows


def sweep_folder(path: Path, goals: Sequence[float], planned: int) -> SweepFolder:
    """A sweep on disk whose first trials are done, with these goals, and whose others were not drawn yet."""
    options = SweepOptions(trials=planned, searcher="random")
    sweep = SweepFolder(path=path, job="polytropon", name="dual_speed", space=RATES, options=options)
    with sweep.locked():
        for number, goal in enumerate(goals):
            append_entry(path, Entry(number=number, fields=RATES.draw(random.Random(number))))
            (folder,) = sweep.folders(number)
            folder.mkdir()
            (folder / "config.yaml").write_text("# job: polytropon\n")
            write_result(folder, "polytropon", "done", 1.5, {"mean": goal})
    return sweep


CHOICE = OneOf(("<b>polytropon</b>", "shared"))
ROUTING = Space(
    about="", job="polytropon", goal=Goal("mean"),
    fields={
        "routing.kind": CHOICE,
        "routing.temperature": LogUniform(0.5, 2.0, only_with={"routing.kind": ("<b>polytropon</b>",)}),
        "training.lr": LR,
    },
)  # fmt: skip
"""Names, and a field that only some trials read."""
