"""A sweep of a job that takes no time, its trials run one after the other in this process, as Ray Tune would."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polyray.cluster.sweeping.population import PopulationSearcher
from polyray.cluster.sweeping.searcher import JournalSearcher
from polyray.cluster.sweeping.storage import Storage
from polyray.cluster.sweeping.trial import Trials
from polyray.config import Section
from polyray.errors import InputError, Interrupted
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.sweeps.fields import LogUniform, OneOf
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.journal import from_text
from polyray.sweeps.options import SweepOptions, searcher_of
from polyray.sweeps.schedulers import SCHEDULERS
from polyray.sweeps.space import Goal, Space
from polyray.sweeps.tracking import TrialTracking
from polyray.sweeps.trials import TrialRows

STATE = "state.json"


class ToyConfig(Section):
    """Fields of the toy job."""

    lr: float = 0.1
    """The score after step n is n * lr."""
    fail: str = "no"
    """End of the run: no (it succeeds), memory, input, infinite."""
    steps: int = 4
    """Steps, each with a validation and a checkpoint."""
    seed: int = 0
    """Adds to the score."""


ran: list[tuple[str, int]] = []  # folder and number of every step that was run


def run_toy(config: ToyConfig, run: Run) -> Result:
    """Count steps, and end as the config says."""
    if config.fail == "input":
        raise InputError("fail=input is no way to go.")
    checkpoint = run.restored()
    step = json.loads((checkpoint / STATE).read_text())["step"] if checkpoint is not None else 0
    while step < config.steps:
        step += 1
        ran.append((run.out.name, step))
        if config.fail == "memory":
            raise MemoryError("not enough")
        if config.fail == "infinite":
            raise FloatingPointError("The loss is inf after step 1: lower training.lr.")
        run.report(step, {"loss": 1.0, "validation": {"score": step * config.lr + config.seed, "tasks": {}}})
        run.checkpoint(step, lambda folder: _save(folder, step))  # noqa: B023  # called at once
        if run.stop_requested and step < config.steps:
            raise Interrupted(f"Stopped after {step} steps.")
    return Result(metrics={"mean": step * config.lr + config.seed, "tasks": {"a.b": {"acc": 0.5}}})


def _save(folder: Path, step: int) -> None:
    (folder / STATE).write_text(json.dumps({"step": step}))


TOY = Job(about="A test's job.", Config=ToyConfig, run=run_toy)
SPACE = Space(about="toy", job="toy", goal=Goal("mean"), searcher="random", fields={"lr": LogUniform(1e-3, 1.0)})


def toy_sweep(path: Path, *overrides: str, space: Space = SPACE, **options: Any) -> SweepFolder:
    """A sweep of the toy job."""
    options = {"trials": 3, "searcher": "random", **options}
    return SweepFolder(
        path=path, job="toy", name="toy", space=space, options=SweepOptions.model_validate(options),
        overrides=overrides, seed_field="seed",
    )  # fmt: skip


def failing_space(*ways: str) -> Space:
    """A space whose trials fail in these ways, one after the other."""
    return Space(about="toy", job="toy", goal=Goal("mean"), searcher="grid", fields={"fail": OneOf(ways)})


def drive(
    sweep: SweepFolder,
    n_trials: int = 100,
    stops: Callable[[int, Mapping[str, Any]], bool] = lambda number, line: False,
    job: Job = TOY,
    tracking: TrialTracking | None = None,
    handfuls: list[list[int]] | None = None,
    storage: Storage | None = None,
) -> list[int]:
    """Run the trials that a start of the sweep runs, at most `n_trials`: their numbers.

    stops: called as stops(number, report); whether the scheduler stops the trial.
    handfuls: gets the numbers of the trials that were given together.
    """
    handfuls = handfuls if handfuls is not None else []
    numbers: list[int] = []
    with sweep.locked():
        scheduler = SCHEDULERS[sweep.options.scheduler]
        chooses = searcher_of(sweep.space, sweep.options)
        kind = PopulationSearcher if scheduler.population else JournalSearcher
        searcher = kind(sweep, TrialRows(sweep), chooses, replay=scheduler.judges, tracking=tracking, storage=storage)
        while len(numbers) < n_trials and (suggestion := searcher.suggest(str(len(numbers)))) != "FINISHED":
            handful, trial_id = from_text(suggestion["trials"]), str(len(numbers))
            number = handful[0].number

            def report(line: Mapping[str, Any], number: int = number) -> None:
                if stops(number, line):
                    raise SystemExit(0)

            error = False
            try:
                Trials(sweep=sweep, job=job, folder=".").run_all(handful, report, suggestion["until"])
            except (SystemExit, MemoryError) as end:
                error = isinstance(end, MemoryError)
            searcher.on_trial_complete(trial_id, error=error)
            handfuls.append([entry.number for entry in handful])
            numbers += handfuls[-1]
    return numbers
