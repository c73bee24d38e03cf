"""A GPU computes what the CPU computes, and a training on it resumes exactly.

Every test runs on the CPU in a tier without a GPU, and on CUDA with `-m gpu`.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from modules_cases import BATCH, CASES, LAYERS, PATHS, mix_of, net_with, seed
from policy_cases import NETWORKS, ROUTINGS, frames_of, noise, policy_of, tensors_of
from torch import Tensor
from training_cases import KNOWN, SUITE, answers, rows_of, spec, tiny_model, train_alone

from polyray.config import load_config
from polyray.envs.engine.engine import Engine
from polyray.envs.levels import levels_of
from polyray.envs.missions import VOCABULARY
from polyray.envs.starts.resumable import starts_for
from polyray.modules.mix import Mix, Rows
from polyray.modules.site import mixing
from polyray.objectives import EvaluationOptions
from polyray.rl.experience import epochs, minibatch_losses, sequences_of
from polyray.rl.experience import frames_of as frames_in
from polyray.rl.frames import Frames
from polyray.rl.options import SMALL
from polyray.rl.player import Player
from polyray.rl.policy import build_policy
from polyray.rl.ppo import ValueNorm
from polyray.rl.settings import PPOOptions
from polyray.routing import ROUTERS
from polyray.training.evaluation import predictions
from polyray.training.recipe import TrainingRecipe

CUDA = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch can use"),
]
on_each_device = pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.processes), pytest.param("cuda", marks=CUDA)]
)
on_each_device_compiled = pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.agents), pytest.param("cuda", marks=CUDA)]
)


def differing(one: dict[str, Tensor], other: dict[str, Tensor], rtol: float = 1e-9) -> list[str]:
    """Names of the tensors that are not equal up to rounding, wherever they are."""
    assert one.keys() == other.keys()
    return [name for name in one if not torch.allclose(one[name].cpu(), other[name].cpu(), rtol=rtol, atol=rtol)]


def outputs_and_gradients(kind: str, layer: str, path: str, device: str) -> dict[str, Tensor]:
    net, inventory = net_with(kind, layer)
    net.to(device)
    inventory.to(device)
    mix = mix_of(path)
    assert isinstance(mix.rows, Rows)
    weights = mix.weights.to(device).requires_grad_()
    rows = Rows(mix.rows.row_of_example, len(mix.weights[0, 0]), torch.device(device))
    with mixing(inventory, Mix(weights, rows)):
        outputs = net(LAYERS[layer].inputs(BATCH, seed(4)).to(device))
        outputs.sin().sum().backward()
    gradients = {name: parameter.grad for name, parameter in inventory.named_parameters() if parameter.grad is not None}
    assert gradients and weights.grad is not None
    return {"outputs": outputs.detach(), "weights": weights.grad, **gradients}


@on_each_device
def test_modules_compute_and_differentiate_alike_on_every_device(device: str) -> None:
    wrong = []
    paths = list(PATHS) if device == "cuda" else ["unequal groups"]  # the CPU is compared with itself
    for kind, layer in CASES:
        for path in paths:
            here, there = (outputs_and_gradients(kind, layer, path, name) for name in (device, "cpu"))
            wrong += [f"{kind}, {layer}, {path}: {name}" for name in differing(here, there)]
    assert not wrong, "\n".join(wrong)


@on_each_device
@pytest.mark.parametrize("name", ["tiny-seq2seq", "tiny-causal", "tiny-encoder"])
def test_a_language_model_answers_alike_on_every_device(name: str, device: str) -> None:
    tasks = [SUITE.tasks[task] for task in KNOWN]
    here, there = tiny_model(name, tasks), tiny_model(name, tasks)
    examples = [example for task in KNOWN for example in answers(task)]
    here.to(device)
    answered = [predictions(model, rows_of(model, SUITE, examples), EvaluationOptions(), 8) for model in (here, there)]
    assert len(answered[0]) == len(examples) and answered[0] == answered[1]


def recipe(*overrides: str) -> TrainingRecipe:
    """Ten steps on two planted tasks with a checkpoint half way."""
    planted = {
        "train_subsets": 2, "tasks_per_subset": 1, "test_subsets": 1, "train_examples": 40, "n_skills": 2,
        "subset_sizes": [1, 2], "test_examples": 4,
    }  # fmt: skip
    few = ("steps=10", "batch=6", "report_every=1", "save_every=5", "lr=1e-2")
    return load_config(
        TrainingRecipe,
        overrides=[
            *(f"tasks.planted.{name}={value}" for name, value in planted.items()),
            *(f"training.{option}" for option in few),
            "modules.rank=2", "modules.sites=[ffn]", "evaluation.max_examples=2", *overrides,
        ],
    )  # fmt: skip


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@on_each_device
def test_a_training_resumes_exactly_on_every_device(device: str, tmp_path: Path) -> None:
    for library in ("tensorboard", "sklearn"):
        pytest.importorskip(library)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir()
    train_alone(whole, recipe(), device)
    assert losses(whole)[-1] < losses(whole)[0]
    shutil.copytree(whole, resumed)
    shutil.rmtree(resumed / "skills")
    last = max((resumed / "checkpoints").iterdir(), key=lambda folder: folder.name)
    shutil.rmtree(last)
    train_alone(resumed, recipe(), device)
    assert contents(resumed / "skills") == contents(whole / "skills")
    assert (resumed / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert contents(resumed / "checkpoints") == contents(whole / "checkpoints")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])  # nothing else trains in bf16
def test_bf16_begins_where_fp32_does_and_keeps_parameters_whole(device: str, tmp_path: Path) -> None:
    for library in ("tensorboard", "sklearn"):
        pytest.importorskip(library)
    first = []
    for precision in ("fp32", "bf16"):
        out = tmp_path / precision
        out.mkdir()
        train_alone(out, recipe(f"training.precision={precision}"), device)
        first.append(losses(out)[0])
        assert losses(out)[-1] < losses(out)[0]
    assert first[0] != first[1] and first[1] == pytest.approx(first[0], rel=2e-2)


def moved(frames: Frames, device: str) -> Frames:
    hidden, cell = frames.memory
    return Frames(
        image=frames.image.to(device), mission=frames.mission.to(device), fresh=frames.fresh.to(device),
        task=frames.task.to(device), memory=(hidden.to(device), cell.to(device)),
    )  # fmt: skip


@on_each_device
def test_a_policy_acts_and_learns_alike_on_every_device(device: str) -> None:
    wrong = []
    for network in ("small", "paper, batch norm", "bag of words, group norm"):
        for routing in ROUTINGS:
            here, there = (policy_of("dense", routing, NETWORKS[network]) for _ in range(2))
            here.to(device)
            frames = frames_of([0, 0, 1, 2], 3, there.options.memory)
            tensors: list[dict[str, Tensor]] = []
            for policy, seen in ((here, moved(frames, device)), (there, frames)):
                outputs = policy(seen, noise())
                (outputs.logits.sin().sum() + outputs.values.sum()).backward()
                learned = {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}
                with torch.no_grad():
                    acted = policy.eval().folded(seen.task)(replace(seen))
                tensors.append(
                    {**tensors_of(outputs), **learned, **{f"acting {k}": v for k, v in tensors_of(acted).items()}}
                )
            wrong += [f"{network}, {routing}: {name}" for name in differing(tensors[0], tensors[1])]
    assert not wrong, "\n".join(wrong)


def experience(device: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Rows of a rollout on two levels, and the losses and gradients of its first minibatch."""
    levels = levels_of(None, ["GoToObj", "GoToLocal"])
    names, inventory = [level.name for level in levels], policy_of("dense", "polytropon").spec
    policy = build_policy(SMALL, names, inventory, len(VOCABULARY), 0).double().to(device)
    options = PPOOptions(environments=8, rollout=8, recurrence=4, batch=32)
    task, starts = np.repeat([0, 1], 4), starts_for(levels, seed=3)
    player = Player(Engine(levels, task, starts), starts, np.arange(2), 0, seed(0), torch.device(device))
    act = policy.eval().folded(torch.from_numpy(task).to(device))
    rows, _ = sequences_of(player.play(act, options.rollout, options.recurrence), options, ValueNorm())
    policy.train()
    batch = next(iter(epochs(rows, options, seed(1), torch.device(device))))
    outputs = policy(frames_in(batch), noise())
    computed = minibatch_losses(outputs.logits, outputs.values, batch, options, 0.01)
    computed.total.backward()
    gradients = {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}
    return rows, {"total": computed.total.detach(), "kl": computed.kl, **gradients}


@on_each_device_compiled
def test_ppo_plays_and_learns_alike_on_every_device(device: str) -> None:
    (rows, learned), (expected_rows, expected) = experience(device), experience("cpu")
    for name, array in expected_rows.items():
        np.testing.assert_allclose(rows[name], array, rtol=1e-5, atol=1e-6, err_msg=name)
    assert not differing(learned, expected, rtol=1e-5)


@on_each_device
def test_every_router_mixes_and_learns_on_every_device(device: str) -> None:
    tasks = [SUITE.tasks[task] for task in KNOWN]
    wrong = []
    for name, entry in ROUTERS.items():
        inventory = spec(name, kind=entry.module_kinds[0]) if entry.module_kinds else spec(name)
        here, there = (tiny_model("tiny-seq2seq", tasks, inventory) for _ in range(2))
        data = rows_of(there, SUITE, [example for task in KNOWN for example in answers(task)])
        batch = data.objective.collate(there.backbone, data.rows, seed(0))
        here.to(device)
        means: list[dict[str, Tensor]] = []
        for model, examples in ((here, batch.to(torch.device(device))), (there, batch)):
            with mixing(model.inventory):
                loss = model(examples)  # in evaluation mode nothing is drawn
                loss.backward()
            learned = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
            means.append({"loss": loss.detach(), **learned})
        wrong += [f"{name}: {tensor}" for tensor in differing(means[0], means[1], rtol=1e-4)]
        here.train()
        with mixing(here.inventory):
            loss = here(batch.to(torch.device(device)), torch.Generator(device).manual_seed(0))
        assert torch.isfinite(loss), name
    assert not wrong, "\n".join(wrong)
