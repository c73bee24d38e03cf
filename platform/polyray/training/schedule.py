"""Peak learning rates that change at given steps, as a population of trainings finds them, in a file of JSON.

{"changes": [[0, {"training.lr": 0.001, "training.routing_lr": 0.1}], [400, {"training.lr": 0.00125}]]}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, Field, ValidationError

from polyray.config import first_problem
from polyray.errors import InputError
from polyray.files import write_file
from polyray.formats import read_json_object
from polyray.lookup import suggestion

SCHEDULE = "schedule.json"
SCHEDULE_FIELD = "training.schedule"  # of a config
LR, ROUTING_LR, BACKBONE_LR = "training.lr", "training.routing_lr", "training.backbone_lr"
RATES = (LR, ROUTING_LR, BACKBONE_LR)  # fields that may change while a training runs

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Content(BaseModel):
    """The content of the file."""

    changes: list[tuple[Annotated[int, Field(ge=0)], dict[str, Rate]]]
    donor: int | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Changes of peak rates.

    Attributes:
        changes: (step, {field: rate}) in order: from this step on, the rate holds.
        donor: number of the trial of whose changes the first ones are a copy; None: of none.
    """

    changes: tuple[tuple[int, Mapping[str, float]], ...]
    donor: int | None = None

    def rates(self, step: int) -> dict[str, float]:
        """The rate of each field at a step; a field that has not changed until then is missing."""
        rates: dict[str, float] = {}
        for start, values in self.changes:
            if start <= step:
                rates |= values
        return rates

    def install(self, adam: torch.optim.Optimizer, step: int, speed: str) -> None:
        """Set the peak rates of an optimiser made by `polyray.training.optimizers.optimizer` for a step.

        Args:
            speed: of the router: routing or skills.
        """
        field_of = {
            "skills": LR, "heads": LR, "routing": ROUTING_LR if speed == "routing" else LR, "backbone": BACKBONE_LR
        }  # fmt: skip
        rates = self.rates(step)
        for group in adam.param_groups:
            group["peak"] = rates.get(field_of[group["name"]], group["peak"])

    def until(self, step: int) -> "Schedule":
        """The changes before a step."""
        return Schedule(changes=tuple(change for change in self.changes if change[0] < step), donor=self.donor)


def read_schedule(file: Path) -> Schedule:
    """The schedule in `file`.

    Raises:
        InputError: the file cannot be read, or is no schedule.
    """
    try:
        content = _Content.model_validate(read_json_object(file))
    except ValidationError as error:
        raise InputError(f"{file} is no schedule: {first_problem(error)}.") from None
    steps = [step for step, _ in content.changes]
    if steps != sorted(set(steps)):
        raise InputError(f"{file} is no schedule: its steps must rise, found {', '.join(map(str, steps[:20]))}.")
    for _, values in content.changes:
        for name in values:
            if name not in RATES:
                raise InputError(f"{file}: {name!r:.80} cannot change in training. {suggestion(name, RATES)}")
    return Schedule(changes=tuple(content.changes), donor=content.donor)


def write_schedule(file: Path, schedule: Schedule) -> None:
    """Write a schedule, whole or not at all.

    Raises:
        StorageError: the disk refused.
    """
    write_file(file, json.dumps({"changes": schedule.changes, "donor": schedule.donor}) + "\n")


def check_schedule(file: str, backbone_lr: float) -> None:
    """Refuse a schedule that cannot be followed; no file is fine.

    Raises:
        InputError: it cannot be read, or changes the rate of a backbone that is frozen.
    """
    if not file:
        return
    changed = {name for _, values in read_schedule(Path(file)).changes for name in values}
    if BACKBONE_LR in changed and not backbone_lr:
        raise InputError(f"{file} changes {BACKBONE_LR}, and {BACKBONE_LR}=0 freezes the backbone: set it above 0.")
