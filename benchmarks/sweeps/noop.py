"""A job that takes no time, and a sweep of it."""

from pathlib import Path

from polyray.config import Section
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.sweeps.fields import LogUniform
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.options import SweepOptions
from polyray.sweeps.space import Goal, Space


class NoopConfig(Section):
    """Fields of the job."""

    lr: float = 0.1
    """Its score."""
    routing_lr: float = 0.1
    """Read by nobody."""


def run_noop(config: NoopConfig, run: Run) -> Result:
    """End at once."""
    return Result(metrics={"mean": config.lr})


NOOP = Job(about="ends at once", Config=NoopConfig, run=run_noop)
SPACE = Space(
    about="two rates", job="noop", goal=Goal("mean"), searcher="random",
    fields={"lr": LogUniform(1e-4, 1e-1), "routing_lr": LogUniform(1e-3, 1.0)},
)  # fmt: skip


def noop_sweep(path: Path, n_trials: int, searcher: str) -> SweepFolder:
    """A sweep of `n_trials` such runs."""
    options = SweepOptions(trials=n_trials, searcher=searcher)
    return SweepFolder(path=path, job="noop", name="rates", space=SPACE, options=options)
