"""A training that is killed and resumed ends byte for byte like one that never stopped."""

import json
import os
import random
import shutil
import signal
import tempfile
import time
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from fork_cases import in_child
from job_cases import outcome, train
from torch.nn.parallel import DistributedDataParallel

from polyray.cluster.train import RayWorker
from polyray.errors import Interrupted
from polyray.runs.checkpoint import latest_checkpoint
from polyray.runs.run import Run
from polyray.skills.skill import load_skill

KILLS = 20


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The folder of a training that was never stopped, and the seconds that it took."""
    out = tmp_path_factory.mktemp("unbroken")
    started = time.monotonic()
    child = in_child(lambda: train(out))
    assert os.waitpid(child, 0)[1] == 0
    return out, time.monotonic() - started


@pytest.fixture(scope="module")
def unbroken(undisturbed: tuple[Path, float]) -> tuple[dict[str, bytes], float]:
    return outcome(undisturbed[0]), undisturbed[1]


@pytest.mark.processes
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
            train(tmp_path)

    assert os.waitpid(in_child(train_and_die), 0)[1] == signal.SIGKILL
    assert list((tmp_path / "skills").glob(".writing-*"))
    assert os.waitpid(in_child(lambda: train(tmp_path)), 0)[1] == 0
    assert outcome(tmp_path) == unbroken[0]


@pytest.mark.processes  # twenty restarts take a minute
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
            child = in_child(lambda out=out: train(out))  # type: ignore[misc]
            time.sleep(moments.uniform(0.05, seconds))
            os.kill(child, signal.SIGKILL)
            killed += os.waitpid(child, 0)[1] == signal.SIGKILL
        child = in_child(lambda out=out: train(out))  # type: ignore[misc]
        assert os.waitpid(child, 0)[1] == 0
        assert outcome(out) == expected
        if killed >= KILLS:
            return
    pytest.fail(f"only {killed} processes could be killed in time")


@pytest.mark.processes  # three processes that wait for each other
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


@pytest.mark.processes  # three processes, too
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


@pytest.mark.processes  # processes that wait for each other, too
@pytest.mark.parametrize("world", [1, 3])
def test_a_checkpoint_of_two_workers_goes_on_with_another_number_equal_to_rounding(world: int, tmp_path: Path) -> None:
    plain = ("routing.sample=none", "training.report_every=2")  # what is sampled is sampled anew
    train_together(tmp_path / "whole", *plain, world=2)
    report = Run.report

    def report_and_ask(run: Run, step: int, *rest: Any, **speed: Any) -> None:
        report(run, step, *rest, **speed)
        if run.first and step == 2:
            run.stop_file.touch()

    out = tmp_path / "elastic"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "report", report_and_ask)
        train_together(out, *plain, world=2, stopped=True)
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-00000003"]  # between two reports
    (out / "stop").unlink()
    train_together(out, *plain, world=world)
    whole, elastic = (
        [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (tmp_path / "whole", out)
    )
    assert len(whole) == 4 and elastic == pytest.approx(whole, rel=1e-4)
    for number in range(3):
        one, other = (load_skill(folder / "skills" / f"skill-{number}") for folder in (tmp_path / "whole", out))
        for name, tensor in one.tensors.items():
            torch.testing.assert_close(other.tensors[name], tensor, rtol=1e-3, atol=1e-5, msg=name)


def train_together(out: Path, *more: str, world: int = 3, stopped: bool = False) -> None:
    """Processes train as one group, each on its share of every batch.

    stopped: they are expected to end because they are asked to.
    """

    def member(rank: int) -> None:
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
        options = ("training.steps=8", "training.batch=6", "training.accumulate=2", "evaluation.every=4", *more)
        with pytest.raises(Interrupted) if stopped else nullcontext():
            train(out, *options, rank=rank, world=world)

    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        children = [in_child(lambda rank=rank: member(rank)) for rank in range(world)]  # type: ignore[misc]
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * world


def test_a_group_of_another_size_says_that_it_is_no_longer_exact(tmp_path: Path, logged: StringIO) -> None:
    def of_two(worker: RayWorker, value: Any) -> list[Any]:
        return [value, value]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RayWorker, "gather", of_two)
        train(tmp_path, "training.steps=4")
    train(tmp_path, "training.steps=8")
    warned = logged.getvalue()
    assert "after step 4 is of 2 workers, this group has 1" in warned and "no longer byte for byte" in warned
    train(tmp_path, "training.steps=12")
    assert logged.getvalue() == warned  # it is a checkpoint of one worker now


def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_is_used(
    undisturbed: tuple[Path, float], tmp_path: Path, logged: StringIO
) -> None:
    out = shutil.copytree(undisturbed[0], tmp_path / "run")
    newest, older = sorted((out / "checkpoints").glob("step-*"), reverse=True)
    tensors = newest / "training.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    assert latest_checkpoint(out / "checkpoints") == older
    assert "training.safetensors is missing or altered" in logged.getvalue()
    train(out)
    assert outcome(out) == outcome(undisturbed[0])


def test_same_seed_same_bits_another_seed_other_bits(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        train(tmp_path / name, "training.steps=4", f"training.seed={seed}")
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")
    first, other = (json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0]) for name in ("a", "c"))
    assert first["loss"] != other["loss"]


def test_a_run_that_is_asked_to_stop_between_two_reports_ends_as_one_never_stopped(
    unbroken: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    report = Run.report

    def report_and_ask(run: Run, step: int, *rest: Any, **speed: Any) -> None:
        report(run, step, *rest, **speed)
        if step == 8:
            run.stop_file.touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "report", report_and_ask)
        with pytest.raises(Interrupted, match="9 of 24 steps"):
            train(tmp_path, "training.save_every=24")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000009"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2  # the next line is due after step 12
    (tmp_path / "stop").unlink()
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    train(moved)
    assert outcome(moved) == unbroken[0]
