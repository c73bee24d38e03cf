"""A training that is killed and resumed ends byte for byte like one that never stopped."""

import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from polyray.cluster.train import RayWorker
from polyray.config import load_config
from polyray.runs.checkpoint import latest_checkpoint
from polyray.runs.run import Run
from polyray.training import multitask
from polyray.training.recipe import TrainingRecipe

KILLS = 20
CPU = torch.device("cpu")
TINY = (
    "training.steps=24", "training.batch=4", "training.report_every=4", "training.save_every=4",
    "training.backbone_lr=1e-3", "routing.n_skills=3", "modules.rank=2", "evaluation.max_examples=4",
    "tasks.planted.train_subsets=2", "tasks.planted.tasks_per_subset=1", "tasks.planted.test_subsets=1",
    "tasks.planted.train_examples=40", "tasks.planted.n_skills=2", "tasks.planted.subset_sizes=[1,2]",
)  # fmt: skip


def payload(out: Path, *more: str) -> dict[str, Any]:
    recipe = load_config(TrainingRecipe, overrides=[*TINY, *more])
    return {"recipe": recipe.model_dump(mode="json"), "out": str(out)}


def train(piece: Mapping[str, Any]) -> None:
    multitask.train(piece, _Alone(rank=0, world=1, device=CPU))


class _Alone(RayWorker):
    """A worker outside Ray: nobody to report to."""

    def report(self, metrics: Mapping[str, float]) -> None:
        pass


def in_child(action: Callable[[], None]) -> int:
    """Run `action` in a forked process; returns its number at once."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        action()
        code = 0
    finally:
        os._exit(code)


def outcome(out: Path) -> dict[str, bytes]:
    """Every byte that must not depend on when a run was killed."""
    files = [out / "metrics.jsonl", out / "trained.json", *sorted((out / "skills").rglob("*.*"))]
    return {str(path.relative_to(out)): path.read_bytes() for path in files if path.is_file()}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    out = tmp_path_factory.mktemp("unbroken")
    started = time.monotonic()
    child = in_child(lambda: train(payload(out)))
    assert os.waitpid(child, 0)[1] == 0
    return outcome(out), time.monotonic() - started


def test_a_process_killed_while_it_writes_its_skills_leaves_no_trace_of_it(
    unbroken: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    moved, second = os.replace, tmp_path / "skills" / "skill-1"

    def move_or_die(old: Path, new: Path) -> None:
        if new == second:
            os.kill(os.getpid(), signal.SIGKILL)
        moved(old, new)

    def train_and_die() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", move_or_die)
            train(payload(tmp_path))

    assert os.waitpid(in_child(train_and_die), 0)[1] == signal.SIGKILL
    assert list((tmp_path / "skills").glob(".writing-*"))
    assert os.waitpid(in_child(lambda: train(payload(tmp_path))), 0)[1] == 0
    assert outcome(tmp_path) == unbroken[0]


@pytest.mark.ray  # not for Ray's sake: twenty restarts take a minute
@pytest.mark.timeout(600)
def test_a_process_killed_at_random_moments_ends_like_one_never_stopped(
    unbroken: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    expected, seconds = unbroken
    moments = random.Random(0)
    killed = 0
    for run in range(100):
        out = tmp_path / str(run)
        out.mkdir()
        for _ in range(moments.choice([1, 1, 2])):
            child = in_child(lambda out=out: train(payload(out)))  # type: ignore[misc]
            time.sleep(moments.uniform(0.05, seconds))
            os.kill(child, signal.SIGKILL)
            killed += os.waitpid(child, 0)[1] == signal.SIGKILL
        child = in_child(lambda out=out: train(payload(out)))  # type: ignore[misc]
        assert os.waitpid(child, 0)[1] == 0
        assert outcome(out) == expected
        if killed >= KILLS:
            return
    pytest.fail(f"only {killed} processes could be killed in time")


@pytest.mark.ray  # not for Ray's sake: three processes that wait for each other
def test_three_workers_that_go_on_from_a_checkpoint_end_like_three_that_never_stopped(tmp_path: Path) -> None:
    save = Run.checkpoint

    def save_and_stop(run: Run, *state: Any) -> None:
        save(run, *state)
        dist.barrier()
        os._exit(0)

    train_together(tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "checkpoint", save_and_stop)
        train_together(tmp_path / "stopped")
    assert len((tmp_path / "stopped" / "metrics.jsonl").read_text().splitlines()) == 1
    train_together(tmp_path / "stopped")
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


@pytest.mark.ray  # three processes, too
def test_exchanging_gradients_once_a_step_is_learning_from_all_batches_of_all_workers(tmp_path: Path) -> None:
    train_together(tmp_path / "once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DistributedDataParallel, "no_sync", nullcontext)
        train_together(tmp_path / "each")
    once, each = (
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("once", "each")
    )
    assert len(once) == 2 and once == pytest.approx(each, rel=1e-4)


def train_together(out: Path) -> None:
    """Three processes train as one group, each on its share of every batch."""

    def member(rank: int) -> None:
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=3)
        more = ("training.steps=8", "training.batch=6", "training.accumulate=2")
        multitask.train(payload(out, *more), _Alone(rank=rank, world=3, device=CPU))

    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        children = [in_child(lambda rank=rank: member(rank)) for rank in range(3)]  # type: ignore[misc]
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]


def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(payload(tmp_path))
    expected = outcome(tmp_path)
    newest, older = sorted((tmp_path / "checkpoints").glob("step-*"), reverse=True)
    tensors = newest / "training.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    assert latest_checkpoint(tmp_path / "checkpoints") == older
    assert "training.safetensors is missing or altered" in caplog.text
    train(payload(tmp_path))
    assert outcome(tmp_path) == expected


def test_same_seed_same_bits_another_seed_other_bits(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        train(payload(tmp_path / name, "training.steps=4", f"training.seed={seed}"))
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")
    first, other = (json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0]) for name in ("a", "c"))
    assert first["loss"] != other["loss"]
