"""Jobs that take less than a second, as the command line runs them, in one process and without Ray."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from crash_cases import Scenario
from job_cases import TINY_SUITE
from rich.console import Console
from small_job import CountingConfig, count

from polyray.cluster.launch import run_job
from polyray.cluster.train import RayWorker
from polyray.config import load_config
from polyray.jobs import adapt
from polyray.reports import report
from polyray.reports.sections import SECTIONS
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.training import multitask
from polyray.training.fewshot import adapt_group
from polyray.training.pieces import AdaptationRecipe
from polyray.training.recipe import TrainingRecipe

SHORT_ANSWERS = ("text.max_output=4", "text.too_long=truncate")  # writing takes most of the time of so short a run
TRAINING = (
    "training.steps=3", "training.batch=4", "training.report_every=1", "training.save_every=1",
    "training.backbone_lr=1e-3", "routing.n_skills=2", "modules.rank=2", "evaluation.max_examples=2", *SHORT_ANSWERS,
    *TINY_SUITE, "tasks.train_splits=[train]", "evaluation.every=2", "evaluation.dev_examples=2", "training.keep=best",
)  # fmt: skip
ADAPTATION = (
    "adapt.steps=2", "adapt.looks=1", "adapt.batch=4", "adapt.seeds=[0,1]", "adapt.methods=[row]",
    "evaluation.max_examples=2", *SHORT_ANSWERS, *TINY_SUITE,
)  # fmt: skip
QUIET = Console(quiet=True)


@contextlib.contextmanager
def a_plain_report() -> Iterator[None]:
    """Reports without pictures, which take most of the time of so short a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "SECTIONS", {"scores": SECTIONS["scores"]})
        yield


def small(out: Path) -> None:
    """Run the small job as the command line does."""
    with a_plain_report():
        run_job("count", Job(about="", Config=CountingConfig, run=count), CountingConfig(), out, None, QUIET)


def language(out: Path) -> None:
    """Train as `polyray run polytropon` does, without Ray."""

    def train(recipe: TrainingRecipe, run: Run) -> Result:
        worker = RayWorker(rank=0, world=1, device=torch.device("cpu"))
        return Result(metrics=multitask.train(recipe.model_dump(mode="json"), run, worker), skills=("skills",))

    job = Job(about="", Config=TrainingRecipe, run=train)
    with a_plain_report():
        run_job("polytropon", job, load_config(TrainingRecipe, overrides=TRAINING), out, None, QUIET)


def adaptation(skills: Path) -> Scenario:
    """Adapt the skills of a finished run as `polyray run adapt` does, without Ray."""

    def run_pieces(recipe: AdaptationRecipe, run: Run) -> Result:
        plan = adapt.plan_of(recipe, run.out)
        for group in plan.groups:
            if any(piece.outcome() is None for piece in group.pieces):
                adapt_group(group)
        return Result(metrics=adapt.gather(plan.pieces), skills=("skills",))

    def start(out: Path) -> None:
        recipe = load_config(AdaptationRecipe, overrides=[f"skills={skills}", *ADAPTATION])
        job = Job(about="", Config=AdaptationRecipe, run=run_pieces)
        with a_plain_report():
            run_job("adapt", job, recipe, out, None, QUIET)

    return start
