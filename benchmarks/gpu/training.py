"""A training of Polytropon on planted tasks, and its score on unseen examples."""

import time
from typing import Any

import torch

from benchmarks.gpu.bench import Bench
from polyray.backbones import load_backbone
from polyray.config import load_config
from polyray.modules.site import without_skills
from polyray.skills.spec import InventorySpec
from polyray.tasks import Suite, load_suite
from polyray.training.batches import TrainingData
from polyray.training.data import encoded, first_examples, mean_score, partition_tasks
from polyray.training.evaluation import predictions, score
from polyray.training.loop import Report, Training, fit
from polyray.training.model import Modular, build
from polyray.training.optimizers import optimizer
from polyray.training.recipe import TrainingRecipe
from polyray.training.worker import Alone

USUAL = ("training.report_every=25", "training.beta2=0.99")
SMALL = (
    "training.steps=4", "training.report_every=2", "training.beta2=0.99", "training.batch=4",
    "tasks.planted.train_examples=20", "tasks.planted.test_examples=1",
)  # fmt: skip


def planted_training(bench: Bench) -> dict[str, Any]:
    """Train until the steps are done or the time is over; losses, speed and the mean score of the training tasks."""
    recipe = load_config(TrainingRecipe, overrides=SMALL if bench.small else USUAL)
    suite = load_suite(recipe.tasks)
    training = _training(recipe, suite, bench.device)
    began = bench.now()
    reports = _reports(recipe, training, bench.until)
    seconds = bench.now() - began
    return {
        "steps": training.step, "of_steps": recipe.training.steps, "first_loss": reports[0].loss,
        "last_loss": reports[-1].loss, "steps_per_second": training.step / seconds,
        "tokens_per_second": sum(report.tokens for report in reports) / seconds,
        "mean_score": _mean_score(recipe, suite, training.model),
    }  # fmt: skip


def _training(recipe: TrainingRecipe, suite: Suite, device: torch.device) -> Training:
    backbone = load_backbone(recipe.backbone)
    backbone.network.to(device)
    data = TrainingData(recipe, suite, backbone, Alone(device))
    spec = InventorySpec(modules=recipe.modules, routing=recipe.routing)
    tasks = [suite.tasks[task] for task in partition_tasks(suite, "train")]
    model = build(backbone, spec, tasks, torch.Generator().manual_seed(0)).to(device)
    adam = optimizer(model, recipe.training)
    noise = torch.Generator(device).manual_seed(1)
    return Training(model=model, forward=model, adam=adam, batches=data, noise=noise)


def _reports(recipe: TrainingRecipe, training: Training, until: float) -> list[Report]:
    options, reports = recipe.training, []
    for report in fit(training, options, options.steps, every=options.report_every):
        reports.append(report)
        if time.monotonic() > until:
            break
    return reports


def _mean_score(recipe: TrainingRecipe, suite: Suite, model: Modular) -> float:
    tasks = partition_tasks(suite, "train")
    examples = [example for task in tasks for example in first_examples(suite.tasks[task], "test", None, 0)]
    with without_skills(model.inventory):
        data = encoded(model.backbone, suite, examples, recipe.text)
    predicted = predictions(model, data, recipe.evaluation, recipe.text.max_output)
    return mean_score(score(suite.tasks, data.examples, predicted))
