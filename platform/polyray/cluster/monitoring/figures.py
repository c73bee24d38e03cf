"""The figures that Prometheus gets: their names, labels and documentation, and the records that they are read from.

Ray puts `ray_` before each name, and labels of its own (WorkerId, NodeAddress, ...) beside these; Prometheus keeps the
label `job` for itself. Each set of labels makes a time series, so their number is bounded: of a sweep's trials only
those that run now have figures, at most `TRIALS` of them; of a run's tasks the first `TASKS`.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, get_args

from polyray.runs.run import numbers
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.rows import State

TRIALS, TASKS = 100, 200
RUN = ("polyray_job", "run", "sweep", "trial")  # labels of a run; the last two are empty for one that is no trial
SWEEP = ("polyray_job", "sweep")

FIGURES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "polyray_step": (RUN, "Steps of the run so far, frames of an agent."),
    "polyray_loss": (RUN, "Loss in training at the newest report; PPO's total loss for an agent."),
    "polyray_score": (RUN, "Score of the newest validation; for an agent without one, its success in training."),
    "polyray_tokens_per_second": (RUN, "Tokens that training reads in a second, over all workers."),
    "polyray_frames_per_second": (RUN, "Frames that an agent's iteration plays and learns from in a second."),
    "polyray_allocation_discreteness": (RUN, "Discreteness of the allocation: 1 binary, 0 undecided."),
    "polyray_allocation_usage": (RUN, "Evenness of the use of skills: 1 all used alike."),
    "polyray_task_score": ((*RUN, "task"), "Score of a task in the newest validation; success of a level in training."),
    "polyray_sweep_trials": ((*SWEEP, "state"), "Trials of the sweep by state."),
    "polyray_sweep_planned": (SWEEP, "Trials that the sweep is to have."),
    "polyray_sweep_steps": (SWEEP, "Steps of all trials together."),
    "polyray_sweep_best_goal": ((*SWEEP, "goal"), "The best value of the sweep's first goal so far."),
    "polyray_trial_goal": ((*RUN, "goal"), "Value of the sweep's first goal in a trial that runs, so far."),
}

# Entries of a run's lines of metrics and progress, flat as `numbers` has them; the first that is there counts.
SOURCES: Mapping[str, tuple[str, ...]] = {
    "polyray_step": ("step",),
    "polyray_loss": ("loss", "losses/total"),
    "polyray_score": ("validation/score", "validation", "success"),
    "polyray_tokens_per_second": ("tokens_per_second",),
    "polyray_frames_per_second": ("frames_per_second",),
    "polyray_allocation_discreteness": ("discreteness", "allocation/discreteness"),
    "polyray_allocation_usage": ("usage", "allocation/usage"),
}


class Sample(NamedTuple):
    """A figure at one moment.

    Attributes:
        name: one of `FIGURES`.
        labels: values of its labels but for those that all figures of a source share.
        value: a finite number.
    """

    name: str
    labels: Mapping[str, str]
    value: float


def run_samples(record: Mapping[str, Any]) -> Iterator[Sample]:
    """The figures of a run; labels of the run itself are left to the caller.

    Args:
        record: the newest value of every entry of its lines of metrics and progress.
    """
    flat = dict(numbers(record))
    for name, sources in SOURCES.items():
        value = next((flat[source] for source in sources if source in flat), None)
        if value is not None:
            yield Sample(name, {}, value)
    for task, score in islice(_task_scores(record), TASKS):
        yield Sample("polyray_task_score", {"task": task}, score)


def _task_scores(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The score of each task: of the newest validation, else an agent's success in training."""
    validation, levels = record.get("validation"), record.get("tasks")
    if isinstance(validation, Mapping):
        yield from numbers(validation.get("tasks", {}))
    elif isinstance(levels, Mapping):
        yield from numbers({name: level.get("success") for name, level in levels.items()})


def sweep_samples(record: SweepRecord) -> Iterator[Sample]:
    """The figures of a sweep as a whole, which count all of its trials; its own labels are left to the caller."""
    for state in get_args(State):
        yield Sample("polyray_sweep_trials", {"state": state}, sum(row.state == state for row in record.rows))
    yield Sample("polyray_sweep_planned", {}, record.planned)
    yield Sample("polyray_sweep_steps", {}, sum(row.step for row in record.rows))
    best = record.best
    if best is not None and best.goal is not None:
        yield Sample("polyray_sweep_best_goal", {"goal": record.goals[0].name}, best.goal)
