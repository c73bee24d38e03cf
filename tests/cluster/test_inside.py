"""Runs inside the process that starts them: the same bytes, whatever ran in the process before, and whoever asks."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from job_cases import TINY, outcome
from rich.console import Console
from safetensors.torch import load_file

from polyray.backbones import load_backbone
from polyray.cluster.inside import OwnProcess
from polyray.cluster.launch import run_in, run_job
from polyray.cluster.tasks import run_tasks
from polyray.config import load_config
from polyray.errors import InputError, Interrupted, RunError
from polyray.jobs import polytropon
from polyray.reuse import Shelf, reusing
from polyray.runs.folder import RunFolder
from polyray.runs.run import STOP

SHORT = ("training.steps=4", "training.report_every=2", "training.save_every=2", "evaluation.max_examples=1")


def launch(out: Path, *more: str, lines: list[Mapping[str, Any]] | None = None) -> None:
    """Run the job polytropon in this process; lines: takes what the run reports."""
    config = load_config(polytropon.Config, overrides=[*TINY, *SHORT, *more])
    folder = RunFolder(path=out, job="polytropon", config=config, address=None)
    hooks = [] if lines is None else [lines.append]
    run_in(folder, polytropon.JOB, Console(quiet=True), cluster=OwnProcess(), hooks=hooks)


@pytest.mark.slow
def test_a_run_after_others_in_one_process_equals_the_run_alone(tmp_path: Path) -> None:
    launch(tmp_path / "alone", "training.lr=0.02")
    with reusing(Shelf()):
        lines: list[Mapping[str, Any]] = []
        launch(tmp_path / "first", "routing.n_skills=2", "training.seed=3", lines=lines)
        torch.rand(3)  # whatever a run leaves of torch's own generator
        launch(tmp_path / "second", "training.lr=0.02")
    assert outcome(tmp_path / "second") == outcome(tmp_path / "alone") != outcome(tmp_path / "first")
    assert [line["step"] for line in lines] == [2, 4]
    adam = load_file(tmp_path / "second" / "checkpoints" / "step-00000004" / "training.safetensors")
    n_trained = sum(tensor.numel() for name, tensor in adam.items() if name.endswith("exp_avg"))
    sizes = json.loads((tmp_path / "second" / "result.json").read_text())["metrics"]["parameters"]
    assert sum(sizes.values()) == n_trained and sizes.keys() == {"skills", "routing", "backbone"}


@pytest.mark.slow
def test_a_run_in_this_process_stops_with_a_checkpoint_and_goes_on_exactly(tmp_path: Path) -> None:
    launch(tmp_path / "unbroken")
    out = tmp_path / "run"

    class Stopping(list[Mapping[str, Any]]):
        def append(self, line: Mapping[str, Any]) -> None:
            (out / STOP).touch()

    with pytest.raises(Interrupted, match=r"Stopped after 3 of 4 steps.*Resume with"):
        launch(out, lines=Stopping())
    assert (out / "checkpoints" / "step-00000003").is_dir()
    launch(out)
    assert outcome(out) == outcome(tmp_path / "unbroken")


def test_a_loss_that_is_no_number_fails_the_run_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="The loss is"):
        launch(tmp_path, "training.lr=1e30", "training.clip=1e30")
    stored = json.loads((tmp_path / "result.json").read_text())
    assert stored["status"] == "failed" and "lower training.lr" in stored["reason"]


def test_a_backbone_that_is_reused_is_as_it_was_loaded() -> None:
    with reusing(Shelf()):
        first = load_backbone("tiny-encoder")
        with torch.no_grad():
            first.embeddings.fill_(1.0)
        first.anchors["a"] = torch.ones(1)
        second = load_backbone("tiny-encoder")
    assert second.model is not first.model and not second.anchors
    assert torch.equal(second.embeddings, load_backbone("tiny-encoder").embeddings)


def test_a_shelf_holds_what_was_used_last() -> None:
    shelf, made = Shelf(size=2), []

    def make(name: str) -> str:
        return shelf.take(name, lambda: made.append(name) or name)  # type: ignore[func-returns-value]

    assert [make(name) for name in "abaca"] == list("abaca")
    assert made == ["a", "b", "c"]
    assert make("b") == "b" and made == ["a", "b", "c", "b"]


def test_pieces_inside_come_in_order_and_end_at_a_wish_to_stop() -> None:
    def work(piece: int) -> dict[str, Any]:
        if piece == 3:
            raise InputError("3 is refused")
        return {"piece": piece}

    assert list(run_tasks(work, [1, 2], inside=True)) == [(0, {"piece": 1}), (1, {"piece": 2})]
    with pytest.raises(InputError, match="3 is refused"):
        list(run_tasks(work, [3], inside=True))
    looks = iter([False, True])
    results = run_tasks(work, [1, 2, 2], inside=True, stop=lambda: next(looks))
    assert next(results) == (0, {"piece": 1})
    with pytest.raises(Interrupted, match="2 of 3 pieces"):
        next(results)


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_a_run_in_this_process_equals_the_run_under_ray(tmp_path: Path) -> None:
    launch(tmp_path / "inside")
    config = load_config(polytropon.Config, overrides=[*TINY, *SHORT])
    run_job("polytropon", polytropon.JOB, config, tmp_path / "ray", None, Console(quiet=True))
    assert outcome(tmp_path / "ray") == outcome(tmp_path / "inside")
