"""Heads under two workers: copies (DDP) and shards (FSDP2) of the backbone learn what one worker learns alone."""

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from fork_cases import in_child
from torch import Tensor

from polyray.cluster.train import RayWorker
from polyray.config import load_config
from polyray.runs.run import Run
from polyray.skills.inventory import load_inventory
from polyray.training.model import load_model
from polyray.training.multitask import train
from polyray.training.recipe import TrainingRecipe

pytestmark = pytest.mark.processes  # two processes that wait for each other

OPTIONS = (
    "suite=conll", "backbone=tiny-encoder", "training.steps=6", "training.batch=2", "training.report_every=1",
    "training.save_every=6", "training.lr=1e-2", "modules.rank=2", "modules.sites=[ffn]", "routing.n_skills=2",
    "routing.sample=none", "evaluation.max_examples=2", "tasks.train_splits=[train]", "evaluation.every=3",
    "evaluation.dev_examples=5", "training.keep=best",
)  # fmt: skip


def write_suite(folder: Path) -> None:
    """Two tasks with a head each; every sentence has four words, so that the mean of two means is their mean."""
    for task, kind in (("places", "LOC"), ("names", "PER")):
        (folder / task).mkdir(parents=True)
        for split in ("train", "dev", "test"):
            sentences = [f"in O\nNew{n} B-{kind}\nYork I-{kind}\n{split}{n} O\n" for n in range(12)]
            (folder / task / f"{split}.txt").write_text("\n".join(sentences))


def run_member(rank: int, world: int, out: Path, options: tuple[str, ...]) -> None:
    """Train as one of the workers, in a process of its own."""
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{out}/meeting", rank=rank, world_size=world)
    recipe = load_config(TrainingRecipe, overrides=options)
    worker = RayWorker(rank=rank, world=world, device=torch.device("cpu"))
    train(recipe.model_dump(mode="json"), Run(out, rank=rank), worker)


def train_together(out: Path, world: int, *options: str) -> tuple[list[float], list[float], Mapping[str, Tensor]]:
    """The losses, step by step, those of the validations, and the heads that are saved."""
    out.mkdir()
    children = [in_child(partial(run_member, rank, world, out, options)) for rank in range(world)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * world
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    dev_losses = [line["validation"]["loss"] for line in lines if "validation" in line]
    return [line["loss"] for line in lines], dev_losses, load_model(load_inventory(out / "skills")).heads_state()


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 1e-4), ("bf16", 1e-2)])
def test_two_workers_train_heads_as_one_does_copied_or_sharded(dtype: str, tolerance: float, tmp_path: Path) -> None:
    write_suite(tmp_path / "data")
    options = (*OPTIONS, f"tasks.path={tmp_path / 'data'}", f"backbone_dtype={dtype}")
    losses, dev_losses, heads = train_together(tmp_path / "alone", 1, *options)
    assert len(dev_losses) == 2
    assert len(losses) == 6 and losses[-1] < losses[0] and {name.partition("/")[0] for name in heads} == {
        "tagging:B-LOC,I-LOC,O", "tagging:B-PER,I-PER,O",
    }  # fmt: skip
    for strategy in ("ddp", "fsdp"):
        together, dev, same = train_together(tmp_path / strategy, 2, *options, f"training.strategy={strategy}")
        assert together == pytest.approx(losses, rel=tolerance), strategy
        assert dev == pytest.approx(dev_losses, rel=10 * tolerance), strategy
        for name, tensor in heads.items():
            difference = f"{strategy}: {name}"
            torch.testing.assert_close(same[name], tensor, rtol=10 * tolerance, atol=tolerance / 10, msg=difference)
