"""Frames per second of PPO on GoToLocal with one small network and 4 epochs: Polyray's RLlib algorithm beside others.

`polyray`: batched environments, whole arrays, skills on every layer. `rllib`: RLlib's own PPO on 16 environments of
minigrid. `torch-ac`: the shape of torch-ac's loop, in Python over 16 environments of minigrid, 128 frames each and
minibatches of 256. `bare`: the same loop over the batched environments, with Polyray's frames and minibatches.
`readable`: with `polyray.rl.network` in place of `polyray.rl.fast`, on an eighth of the environments. One process and
one thread run all in turn and count processor time, so that ratios hold whatever else the machine does.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.tune.registry import register_env
from torch import Tensor

from benchmarks.ppo_loop import (
    EPOCHS,
    LEVEL,
    BatchedEnvironments,
    Iteration,
    SingleEnvironments,
    plain_loop,
    single_frames,
)
from benchmarks.table import show
from polyray.cluster.rllib.algorithm import algorithm
from polyray.cluster.session import RaySession
from polyray.envs.missions import LENGTH, VOCABULARY, encode
from polyray.modules.options import SkillOptions
from polyray.rl.blueprint import Blueprint
from polyray.rl.fast.network import RowwiseNetwork
from polyray.rl.network import PolicyNetwork
from polyray.rl.options import SMALL
from polyray.rl.policy import build_policy
from polyray.rl.settings import Agent, AgentTrainingOptions
from polyray.routing import RoutingOptions
from polyray.routing.options import LearnedOptions
from polyray.skills.spec import InventorySpec

ENVS, ROLLOUT, BATCH = 256, 40, 2560  # Polyray's and the bare loop's
SINGLES, SINGLE_ROLLOUT, SINGLE_BATCH = 16, 128, 256  # torch-ac's and RLlib's
NINE = RoutingOptions(options=LearnedOptions(n_skills=9, sample="task"))
ACTIVITIES = ("environment", "inference", "learning", "other")


def polyray(routing: RoutingOptions, kind: str) -> Iteration:
    """Make Polyray's algorithm, in this process, with skills of the module kind `kind`."""
    spec = InventorySpec(modules=SkillOptions.model_validate({"kind": kind}), routing=routing)
    policy = build_policy(SMALL, (LEVEL.name,), spec, len(VOCABULARY), seed=0)
    options = AgentTrainingOptions(
        environments=ENVS, rollout=ROLLOUT, recurrence=20, batch=BATCH, epochs=EPOCHS, lr=1e-3, backbone_lr=1e-3
    )
    trained = algorithm(Agent(options=options, policy=Blueprint.of(policy), levels=(LEVEL,)))

    def iterate() -> tuple[int, dict[str, float]]:
        """Take one iteration of the algorithm."""
        result = trained.train()
        return result["frames_now"], {name: result["seconds"][name] for name in ACTIVITIES}

    return iterate


class EncodedMission(gymnasium.ObservationWrapper[Any, Any, Any]):
    """minigrid's environment with its mission as word numbers."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Dict(
            {
                "image": gymnasium.spaces.Box(0, 255, (7, 7, 3), np.uint8),
                "mission": gymnasium.spaces.Box(0, len(VOCABULARY) - 1, (LENGTH,), np.uint8),
            }
        )

    def observation(self, observation: Any) -> Any:
        """Image and word numbers."""
        return {"image": observation["image"], "mission": encode(observation["mission"])}


class PlainModule(TorchRLModule, ValueFunctionAPI):
    """The network without skills as a module of RLlib."""

    def setup(self) -> None:
        """Build the network."""
        self.network = PolicyNetwork(SMALL, len(VOCABULARY))
        self.compute = RowwiseNetwork(self.network)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        observation = {name: tensor.to(torch.uint8) for name, tensor in batch[Columns.OBS].items()}
        outputs = self.compute(single_frames(observation["image"], observation["mission"]))
        return {Columns.ACTION_DIST_INPUTS: outputs.logits[:, 0], Columns.EMBEDDINGS: outputs.values[:, 0]}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """The critic's values."""
        values: Tensor = self._forward(batch)[Columns.EMBEDDINGS] if embeddings is None else embeddings
        return values


def rllib() -> Iteration:
    """Make RLlib's own PPO, in this process."""
    register_env("encoded", lambda config: EncodedMission(gymnasium.make(LEVEL.env_id, disable_env_checker=True)))
    config = PPOConfig().environment("encoded").env_runners(num_env_runners=0, num_envs_per_env_runner=SINGLES)
    config.training(
        train_batch_size_per_learner=SINGLES * SINGLE_ROLLOUT, minibatch_size=SINGLE_BATCH, num_epochs=EPOCHS, lr=1e-3,
        grad_clip=0.5, use_kl_loss=False,
    )  # fmt: skip
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=PlainModule)).learners(num_learners=0)
    trained = config.build_algo()

    def iterate() -> tuple[int, dict[str, float]]:
        """Take one iteration of PPO, whose activities are not timed."""
        trained.train()
        return SINGLES * SINGLE_ROLLOUT, {}

    return iterate


def measure(loops: dict[str, Iteration], rounds: int) -> Iterator[dict[str, Any]]:
    """Median frames per second of each loop, in turn, after one round that is not counted, and shares of the time."""
    rates: dict[str, list[float]] = {name: [] for name in loops}
    shares: dict[str, dict[str, float]] = {name: {} for name in loops}
    for number in range(rounds + 1):
        for name, iterate in loops.items():
            started = time.process_time()
            with redirect_stdout(StringIO()):  # minigrid prints why it begins a level anew
                frames, seconds = iterate()
            if number:
                rates[name].append(frames / (time.process_time() - started))
                shares[name] = {activity: 100 * spent / sum(seconds.values()) for activity, spent in seconds.items()}
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        yield {
            "loop": name, "frames_per_second": rate, "over_rllib": rate / medians["rllib"],
            "over_torch_ac": rate / medians["torch-ac"], "over_bare": rate / medians["bare"],
            **{f"{activity}_%": shares[name].get(activity, "") for activity in ACTIVITIES},
        }  # fmt: skip


def main() -> None:
    """Measure all loops and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("ray").setLevel(logging.ERROR)
    with (
        tempfile.TemporaryDirectory() as folder,
        RaySession(None, Path(folder)) as session,
        redirect_stdout(StringIO()),  # minigrid prints why it begins a level anew
    ):
        session.start()
        loops: dict[str, Iteration] = {
            "torch-ac": plain_loop(SingleEnvironments(SINGLES), SINGLE_ROLLOUT, SINGLE_BATCH),
            "rllib": rllib(),
            "bare": plain_loop(BatchedEnvironments(ENVS), ROLLOUT, BATCH),
            "readable": plain_loop(BatchedEnvironments(ENVS // 8), ROLLOUT, BATCH // 8, is_fast=False),
            "polyray, shared dense": polyray(RoutingOptions.model_validate({"kind": "shared"}), "dense"),
            "polyray, 9 sparse skills": polyray(NINE, "sparse"),
            "polyray, 9 dense skills": polyray(NINE, "dense"),
        }
        rows = list(measure(loops, arguments.rounds))
    show("PPO on GoToLocal, one core", rows, arguments.json)


if __name__ == "__main__":
    main()
