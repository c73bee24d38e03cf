"""A multi-task training that takes seconds, outside Ray or as a job, and the bytes that it leaves."""

import json
from pathlib import Path
from typing import Any

import torch

from polyray.cluster.train import RayWorker
from polyray.config import load_config
from polyray.runs.run import Run
from polyray.training import multitask
from polyray.training.recipe import TrainingRecipe

BOTH_SPEEDS = """about: both speeds
job: polytropon
goal: validation.loss
mode: min
searcher: random
fields:
  training.lr: {loguniform: [0.001, 0.1]}
  training.routing_lr: {loguniform: [0.001, 0.1]}
"""
TINY_SUITE = (
    "tasks.planted.train_subsets=2", "tasks.planted.tasks_per_subset=1", "tasks.planted.test_subsets=1",
    "tasks.planted.train_examples=40", "tasks.planted.n_skills=2", "tasks.planted.subset_sizes=[1,2]",
)  # fmt: skip
TINY = (
    "training.steps=24", "training.batch=4", "training.report_every=4", "training.save_every=4",
    "training.backbone_lr=1e-3", "routing.n_skills=3", "modules.rank=2", "evaluation.max_examples=4", *TINY_SUITE,
    "tasks.train_splits=[train]", "evaluation.every=8", "evaluation.dev_examples=2", "training.keep=best",
)  # fmt: skip


def train(out: Path, *more: str, rank: int = 0, world: int = 1) -> dict[str, Any]:
    """The metrics of the tiny training in the folder `out`, as one of `world` workers; the first one writes them down.

    more: overrides of the recipe.
    """
    recipe = load_config(TrainingRecipe, overrides=[*TINY, *more])
    worker = RayWorker(rank=rank, world=world, device=torch.device("cpu"))
    metrics = multitask.train(recipe.model_dump(mode="json"), Run(out, rank=rank), worker)
    if rank == 0:
        (out / "metrics.json").write_text(json.dumps(metrics))
    return metrics


def outcome(out: Path) -> dict[str, bytes]:
    """Every byte of a run that must not depend on when it was killed."""
    files = [out / "metrics.jsonl", out / "metrics.json", *out.glob("allocation.*"), *(out / "skills").rglob("*.*")]
    content = {str(path.relative_to(out)): path.read_bytes() for path in sorted(files) if path.is_file()}
    result = out / "result.json"
    if result.exists():  # its seconds differ
        stored = json.loads(result.read_text())
        content["result.json"] = json.dumps([stored["status"], stored["metrics"], stored["skills"]]).encode()
    return content
