"""Training of a system that answers in dialogues, or of an expert or anti-expert for it, as one skill."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console

from polyray.errors import InputError
from polyray.jobs import ltsft
from polyray.objectives import OBJECTIVES, TextOptions
from polyray.reports.console import print_note
from polyray.responding.scores import RESPONSES
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.tasks import Suite, TasksOptions
from polyray.training.tuning.table import MethodOptions


class Config(ltsft.Config):
    """Train a system that answers in dialogues, or an expert or anti-expert for it, as one skill."""

    suite: str = "dstc11"
    """Family of dialogues: see `polyray list tasks`."""
    tasks: TasksOptions = TasksOptions(kind="dstc11")
    """Where they are, which responses to learn (`tasks.select`), and control tokens."""
    backbone: str = "tiny-causal"
    """Network under the skill: tiny-seq2seq, tiny-causal, a folder, or a name on the Hugging Face Hub."""
    text: TextOptions = TextOptions(max_input=640, too_long="truncate")
    """Lengths of texts."""
    method: MethodOptions = MethodOptions(kind="full")
    """Method that trains the skill."""


def run(config: Config, run: Run) -> Result:
    """Train on Ray, then answer and score; see `Config`."""
    suite = check(config)
    show(suite.figures, run.console)
    result = ltsft.train(config, run, suite)
    return replace(result, metrics={**result.metrics, "data": dict(suite.figures)})


def check(config: Config) -> Suite:
    """Read all data, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    suite = ltsft.check_all(config)
    for task in suite.tasks.values():
        if OBJECTIVES[task.objective].predicts != RESPONSES:
            raise InputError(
                f"suite={config.suite} holds no dialogues: the task {task.name!r} has the objective "
                f"{task.objective!r}. Train it with `polyray run ltsft`."
            )
    return suite


def show(figures: Mapping[str, Any], console: Console) -> None:
    """One line for each split: how many responses are taken, and how much they copy from their knowledge."""
    for task, splits in figures.items():
        for split, counts in splits.items():
            print_note(
                console,
                f"{task} {split}: {counts['rows']:,} of {counts['of']:,} responses, coverage {counts['coverage']:.3f}, "
                f"density {counts['density']:.2f}",
            )


JOB = Job(
    about="train a system for dialogues, or an expert or anti-expert for it, as one skill", Config=Config, run=run,
    goals=ltsft.JOB.goals, check=check, workload=ltsft.JOB.workload,
)  # fmt: skip
