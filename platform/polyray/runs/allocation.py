"""The allocation that a run learned, as files of its folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from polyray.analysis.allocation import Floats
from polyray.files import write_file

TABLES, NAMES = "allocation.safetensors", "allocation.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class SavedAllocation:
    """Table of tasks and skills: how strongly each task uses each skill.

    Attributes:
        probabilities: [tables, tasks, skills] in [0, 1].
        tables: what each table is for: a site, one of its heads, or the whole backbone.
        tasks: names of the rows.
    """

    probabilities: Floats
    tables: tuple[str, ...]
    tasks: tuple[str, ...]

    @property
    def n_skills(self) -> int:
        """Columns of a table."""
        return int(self.probabilities.shape[2])


def save_allocation(out: Path, probabilities: Tensor, tables: Sequence[str], tasks: Sequence[str]) -> None:
    """Write an allocation into the run folder `out`; the arguments are those of `SavedAllocation`."""
    write_file(out / NAMES, json.dumps({"tasks": list(tasks), "tables": list(tables)}))
    write_file(out / TABLES, save({"probabilities": probabilities.detach().cpu().double().contiguous()}))


def load_allocation(out: Path) -> SavedAllocation | None:
    """The allocation in the run folder `out`, None where the run has written none."""
    if not (out / TABLES).exists():
        return None
    names = json.loads((out / NAMES).read_text(encoding="utf-8"))
    probabilities = load_file(out / TABLES)["probabilities"].to(torch.float64).numpy()
    return SavedAllocation(
        probabilities=np.asarray(probabilities), tables=tuple(names["tables"]), tasks=tuple(names["tasks"])
    )
