"""Agents on RLlib: one iteration's mathematics, and checkpoints that are exact."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from agent_cases import ITERATION, LEVELS, NETWORK, agent_of
from torch import Tensor

from polyray.cluster.rllib.module import NO_NOISE, noise_seed
from polyray.cluster.rllib.ppo import ModularPPO
from polyray.errors import InputError
from polyray.rl.experience import sequences_of
from polyray.rl.settings import Agent

pytest_plugins = ["rllib_fixtures"]
pytestmark = [pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.filterwarnings("default")]
Build = Callable[[Agent], ModularPPO]


def weights(trained: ModularPPO) -> dict[str, Tensor]:
    """A copy of all tensors of the policy that learns."""
    return {name: tensor.clone() for name, tensor in trained.learner_group._learner.policy.state_dict().items()}


@pytest.mark.parametrize(("routing_noise", "draw"), [("shared", "frames"), ("eval", "frames"), ("shared", "episodes")])
def test_before_the_first_step_the_learner_gives_every_action_the_probability_that_the_runner_did(
    build: Build, routing_noise: str, draw: str
) -> None:
    trained = build(agent_of(routing_noise=routing_noise, draw=draw))
    trained.train()
    rollout = trained._play()
    assert rollout is not None
    rows, _ = sequences_of(rollout, trained.agent.options, trained.returns)
    batch = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in rows.items()}
    batch["noise"] = torch.tensor([noise_seed(2, 1) if routing_noise == "shared" else NO_NOISE])
    logits = trained.learner_group._learner.module["default_policy"].forward_train(batch)["action_dist_inputs"]
    logp = logits.log_softmax(-1).gather(-1, batch["actions"][..., None])[..., 0]
    real = batch.get("real", torch.ones_like(logp, dtype=torch.bool))
    assert real.sum() == ITERATION and (logp - batch["logp"])[real].abs().max() < 1e-5


def test_an_iteration_reports_what_was_played_and_learned(build: Build) -> None:
    trained = build(agent_of())
    one, two = trained.train(), trained.train()
    assert (one["frames"], two["frames"], two["frames_now"]) == (ITERATION, 2 * ITERATION, ITERATION)
    assert two["num_env_steps_sampled_lifetime"] == 2 * ITERATION
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


@pytest.mark.parametrize("draw", ["frames", "episodes"])
def test_a_restored_training_goes_on_bit_by_bit_and_its_checkpoint_holds_no_pickle(
    build: Build, draw: str, tmp_path: Path
) -> None:
    whole, begun, resumed = (build(agent_of(draw=draw)) for _ in range(3))
    for _ in range(3):
        last = whole.train()
    begun.train()
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    begun.save_checkpoint(str(one))
    resumed.load_checkpoint(str(one))
    resumed.save_checkpoint(str(two))
    assert {file.name for file in one.iterdir()} == {"training.safetensors", "training.json"}
    assert all((one / file.name).read_bytes() == file.read_bytes() for file in two.iterdir())
    resumed.train()
    again = resumed.train()
    expected, actual = weights(whole), weights(resumed)
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    for name in ("frames", "episodes", "tasks", "losses"):
        assert again[name] == last[name], name


def test_a_checkpoint_of_another_policy_is_refused(build: Build, tmp_path: Path) -> None:
    build(agent_of()).save_checkpoint(str(tmp_path))
    other = build(agent_of(network=NETWORK.model_copy(update={"hidden": 9})))
    with pytest.raises(InputError, match="its network is"):
        other.load_checkpoint(str(tmp_path))
