"""The outcome of a sweep on disk: sweep.json with every trial, and best.yaml, a config ready to run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from polyray.config import Section, dump_config
from polyray.files import write_file
from polyray.runs.result import versions
from polyray.sweeps.folder import AConfig, SweepFolder
from polyray.sweeps.rates import Rates
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.rows import TrialRow
from polyray.sweeps.space import config_value
from polyray.sweeps.wording import goal_text, spread
from polyray.training.schedule import SCHEDULE, SCHEDULE_FIELD

SWEEP, BEST = "sweep.json", "best.yaml"
SCHEMA_VERSION = 1
FEWER = "evaluation.max_examples"  # of each task are scored; 0: all


def write_outcome(record: SweepRecord) -> Path:
    """Write sweep.json (docs/sweeps.md describes it) into the sweep's folder, whole or not at all; its path.

    Raises:
        StorageError: the disk refused.
    """
    file = record.path / SWEEP
    write_file(file, to_json(outcome(record), indent=2, inf_nan_mode="null") + b"\n")
    return file


def write_best(record: SweepRecord, config: Section) -> Path:
    """Write best.yaml into the sweep's folder: `config`, and in the first line where it comes from; its path.

    Args:
        record: of a sweep that has a best trial.
        config: of the best trial, see `best_config`.

    Raises:
        StorageError: the disk refused.
    """
    best = record.best
    assert best is not None, "there is no best trial"
    name, file = " ".join(record.name.split()), record.path / BEST
    origin = f"# Trial {best.number} of the sweep {name}: {record.goals[0].name} {goal_text(best)}."
    write_file(file, f"{origin} Run it: polyray run {record.job} --config {BEST}\n{dump_config(config)}")
    return file


def best_config(sweep: SweepFolder, kind: type[AConfig], best: TrialRow) -> AConfig:
    """The config of the first repeat of the `best` trial, which scores all examples even if the trials did not.

    One whose rates changed in a population names their schedule.

    Raises:
        InputError: the job refuses the fields.
    """
    schedules = [folder / SCHEDULE for folder in best.folders if (folder / SCHEDULE).exists()]
    fields = {**best.fields, **({SCHEDULE_FIELD: str(schedules[0].absolute())} if schedules else {})}
    config = sweep.config(kind, fields)
    if config_value(config, FEWER) is None:
        return config
    return replace(sweep, overrides=(*sweep.overrides, f"{FEWER}=0")).config(kind, fields)


def outcome(record: SweepRecord) -> dict[str, Any]:
    """The content of sweep.json."""
    rates, best = record.rates, record.best
    return {
        "schema_version": SCHEMA_VERSION,
        "job": record.job,
        "space": record.name,
        "fields": {name: field.spelled() for name, field in record.space.fields.items()},
        "goals": [{"name": goal.name, "mode": goal.mode} for goal in record.goals],
        "options": record.options,
        "state": record.state,
        "planned": record.planned,
        "trials": [_trial(record, row) for row in record.rows],
        "best": None if best is None else _trial(record, best),
        "front": [row.number for row in record.front] if len(record.goals) > 1 else None,
        "rates": None if rates is None else _rates(rates),
        "versions": versions(),
    }


def _trial(record: SweepRecord, row: TrialRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "state": row.state,
        "fields": row.fields,
        "goal": row.goal,
        "std": spread(row),
        "goals": row.goals,
        "seeds": row.seeds,
        "seed_goals": row.seed_goals,
        "step": row.step,
        "seconds": row.seconds,
        "starts": row.starts,
        "reason": row.reason,
        "donor": row.donor,
        "folders": [str(within(record.path, folder)) for folder in row.folders],
    }


def _rates(rates: Rates) -> Mapping[str, Any]:
    """The best rates and their ratio; `interval` is the bootstrap's, 95 %."""
    figures = {
        name: {"estimate": figure.estimate, "interval": [figure.low, figure.high]}
        for name, figure in rates.figures().items()
    }
    surface = rates.surface
    return {
        **figures,
        "at_edge": {rates.lr: surface.at_edge[0], rates.routing_lr: surface.at_edge[1]},
        "flat_ratios": rates.flat,
        "noise": surface.noise,
        "trials": surface.n_points,
    }


def within(sweep: Path, folder: Path) -> Path:
    """The path of a run folder from the sweep's folder, where it lies inside."""
    return folder.relative_to(sweep) if folder.is_relative_to(sweep) else folder
