"""Agents on RLlib: one iteration's mathematics, and exact resume."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polyray.cluster.rllib.algorithm import algorithm, restore, save
from polyray.cluster.rllib.module import NO_NOISE, noise_seed
from polyray.cluster.rllib.ppo import ModularPPO
from polyray.cluster.session import RaySession
from polyray.envs.levels import Level, levels_of
from polyray.envs.missions import VOCABULARY
from polyray.envs.starts.resumable import ResumableStarts, starts_for
from polyray.errors import InputError
from polyray.modules.dense import DenseOptions
from polyray.modules.options import SkillOptions
from polyray.rl.blueprint import Blueprint
from polyray.rl.options import PolicyOptions
from polyray.rl.policy import build_policy
from polyray.rl.settings import ActorOptions, Agent, PPOOptions
from polyray.routing import RoutingOptions
from polyray.routing.options import LearnedOptions
from polyray.skills.spec import InventorySpec

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.filterwarnings("default")]
LEVELS = ("GoToObjS4", "GoToRedBallNoDists")


def starts(levels: Sequence[Level], seed: int) -> ResumableStarts:
    return starts_for(levels, seed=seed)


PPO = PPOOptions(environments=8, rollout=8, recurrence=4, batch=32, epochs=2, lr=1e-3, normalise_values=True)
OPTIONS = PolicyOptions(
    embedding=8, channels=8, convolutions=1, blocks=1, mission=8, memory=8, hidden=8, norm="group", reader="bag"
)


SPEC = InventorySpec(
    modules=SkillOptions(kind="dense", options=DenseOptions()),
    routing=RoutingOptions(options=LearnedOptions(n_skills=3, sample="task")),
)


def agent(ppo: PPOOptions = PPO, options: PolicyOptions = OPTIONS, **workers: Any) -> Agent:
    policy = Blueprint.of(build_policy(options, LEVELS, SPEC, len(VOCABULARY), seed=1))
    return Agent(
        options=ppo, policy=policy, levels=levels_of(None, LEVELS), starts=starts, seed=2,
        workers=ActorOptions(**workers), frames=1000,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # actors import this file
        with RaySession(None, tmp_path_factory.mktemp("logs")) as session:
            session.start()
            yield


@pytest.fixture
def built() -> Iterator[Any]:
    """Builds algorithms and stops them after the test."""
    running: list[ModularPPO] = []

    def build(one: Agent) -> ModularPPO:
        running.append(algorithm(one))
        return running[-1]

    yield build
    for one in running:
        one.stop()


def weights(trained: ModularPPO) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trained.learner_group._learner.policy.state_dict().items()}


@pytest.mark.parametrize("kept", ["shared", "eval"])
def test_before_the_first_step_the_learner_gives_every_action_the_probability_that_the_runner_did(
    built: Any, kept: Any
) -> None:
    trained = built(agent(PPO.model_copy(update={"routing_noise": kept})))
    trained.train()
    rollout = trained._play()
    rows, _ = trained._rows(rollout)
    batch = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in rows.items()}
    batch["noise"] = torch.tensor([noise_seed(2, 1) if kept == "shared" else NO_NOISE])
    logits = trained.learner_group._learner.module["default_policy"].forward_train(batch)["action_dist_inputs"]
    logp = logits.log_softmax(-1).gather(-1, batch["actions"][..., None])[..., 0]
    assert (logp - batch["logp"]).abs().max() < 1e-5


def test_an_iteration_reports_what_was_played_and_learned(built: Any) -> None:
    trained = built(agent())
    one, two = trained.train(), trained.train()
    assert (one["frames"], two["frames"], two["frames_now"]) == (64, 128, 64)
    assert two["num_env_steps_sampled_lifetime"] == 128
    assert set(two["tasks"]) == set(LEVELS)
    assert two["episodes"] == sum(two["tasks"][name]["episodes"] for name in LEVELS) > 0
    losses = two["losses"]
    assert set(losses) == {
        "total", "policy", "value", "entropy", "kl", "clipped", "explained", "explained_before", "grad_norm"
    }  # fmt: skip
    assert all(np.isfinite(value) for value in losses.values())
    assert 0 < losses["entropy"] <= np.log(7) + 1e-6
    seconds = two["seconds"]
    assert seconds["environment"] + seconds["inference"] <= seconds["sampling"] + 1e-3
    assert two["runners"] == {"remote": 0, "healthy": 0, "lost": 0, "restarted": 0}


def test_a_restored_run_goes_on_bit_by_bit(built: Any, tmp_path: Path) -> None:
    whole, begun, resumed = built(agent()), built(agent()), built(agent())
    for _ in range(3):
        last = whole.train()
    begun.train()
    save(begun, tmp_path / "kept")
    restore(resumed, tmp_path / "kept")
    resumed.train()
    again = resumed.train()
    wanted, found = weights(whole), weights(resumed)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert {name: again[name] for name in ("frames", "episodes", "tasks", "losses")} == {
        name: last[name] for name in ("frames", "episodes", "tasks", "losses")
    }


def test_a_checkpoint_of_another_policy_is_refused(built: Any, tmp_path: Path) -> None:
    save(built(agent()), tmp_path / "kept")
    with pytest.raises(InputError, match="its network is"):
        restore(built(agent(options=OPTIONS.model_copy(update={"hidden": 9}))), tmp_path / "kept")
    with pytest.raises(InputError, match="holds no checkpoint"):
        restore(built(agent()), tmp_path)
