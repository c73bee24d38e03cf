"""The allocation that a run learned, as files of its folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from polyray.analysis.allocation import Floats
from polyray.errors import InputError
from polyray.files import write_file
from polyray.files.disk import disk
from polyray.formats import read_json_object

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
    """The allocation in the run folder `out`, None where the run has written none.

    Raises:
        InputError: one of its two files cannot be read, or they do not belong together.
    """
    if not (out / TABLES).exists():
        return None
    names = read_json_object(out / NAMES)
    try:
        tensors = load(disk().read(out / TABLES))
    except SafetensorError as error:
        raise InputError(f"Cannot read {out / TABLES}: {error}") from None
    tables, tasks = (tuple(map(str, names.get(field) or ())) for field in ("tables", "tasks"))
    probabilities = tensors.get("probabilities", torch.empty(0)).double()
    if probabilities.dim() != 3 or probabilities.shape[:2] != (len(tables), len(tasks)):
        raise InputError(f"{out / TABLES} and {out / NAMES} do not belong together. Continuing the run restores them.")
    return SavedAllocation(probabilities=np.asarray(probabilities.numpy()), tables=tables, tasks=tasks)
