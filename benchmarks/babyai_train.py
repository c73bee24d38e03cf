"""Frames per second of PPO on GoToLocal with one small network and 4 epochs: Polyray's RLlib algorithm beside others.

`polyray`: batched environments, whole arrays, skills on every layer. `rllib`: RLlib's own PPO on 16 environments of
minigrid. `torch-ac`: torch-ac's loop shape, a Python loop over 16 environments of minigrid, 128 frames each and
minibatches of 256. `bare`: the plainest loop over the batched environments, with Polyray's frames and minibatches.
One thread, processor time of this process, in turn, so that ratios hold whatever else the machine does.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import minigrid  # noqa: F401  (registers its environments)
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.tune.registry import register_env
from torch import Tensor

from benchmarks.table import show
from polyray.cluster.rllib.algorithm import algorithm
from polyray.cluster.session import ray_session
from polyray.envs.engine.engine import Engine
from polyray.envs.levels import LEVELS
from polyray.envs.missions import LENGTH, VOCABULARY, encode
from polyray.envs.starts.resumable import starts_for
from polyray.modules.options import SkillOptions
from polyray.rl.blueprint import Blueprint
from polyray.rl.fast.network import RowwiseNetwork
from polyray.rl.network import PolicyNetwork
from polyray.rl.options import SMALL
from polyray.rl.player import draw
from polyray.rl.policy import Frames, build_policy
from polyray.rl.ppo import Coefficients, Experience, gae, ppo_loss
from polyray.rl.settings import ActorOptions, Agent, PPOOptions
from polyray.routing import RoutingOptions
from polyray.routing.options import LearnedOptions
from polyray.skills.spec import InventorySpec

LEVEL = LEVELS["GoToLocal"]
ENVS, ROLLOUT, EPOCHS, BATCH = 256, 40, 4, 2560  # Polyray's and the bare loop's
NINE = RoutingOptions(options=LearnedOptions(n_skills=9, sample="task"))
SINGLES, SINGLE_ROLLOUT, SINGLE_BATCH = 16, 128, 256  # torch-ac's and RLlib's
COEFFICIENTS = Coefficients(clip=0.2, value=0.5, entropy=0.01)
Iteration = Callable[[], tuple[int, dict[str, float]]]  # plays and learns once: frames, seconds by part
Observation = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # image [n, 7, 7, 3], mission [n, LENGTH]


class Batch(Protocol):
    """n environments that begin anew by themselves."""

    n: int

    def look(self) -> Observation:
        """What they show."""

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Rewards and ends."""


class Batched:
    """Polyray's engine."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._engine = Engine([LEVEL], np.zeros(n, np.int64), starts_for([LEVEL], seed=0))
        self._engine.reset()

    def look(self) -> Observation:
        """What they show."""
        return self._engine.image, self._engine.mission

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Rewards and ends."""
        rewards, terminated, truncated = self._engine.step(actions)
        dones = terminated | truncated
        if dones.any():
            self._engine.reset(np.flatnonzero(dones))
        return rewards, dones


class Singles:
    """A list of minigrid's environments."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._envs = [gymnasium.make(LEVEL.env_id, disable_env_checker=True).unwrapped for _ in range(n)]
        self._seen = [env.reset(seed=number)[0] for number, env in enumerate(self._envs)]

    def look(self) -> Observation:
        """What they show."""
        return np.stack([x["image"] for x in self._seen]), np.stack([encode(x["mission"]) for x in self._seen])

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Rewards and ends."""
        rewards, dones = np.zeros(self.n, np.float32), np.zeros(self.n, np.bool_)
        for place, (env, action) in enumerate(zip(self._envs, actions.tolist(), strict=True)):
            self._seen[place], rewards[place], terminated, truncated, _ = env.step(action)
            dones[place] = terminated or truncated
            if dones[place]:
                self._seen[place] = env.reset()[0]
        return rewards, dones


def loop(envs: Batch, rollout: int, batch: int) -> Iteration:
    """A plain PPO loop over `envs`: act, advantages, epochs of shuffled minibatches."""
    network = PolicyNetwork(SMALL, len(VOCABULARY))
    compute = RowwiseNetwork(network)
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, eps=1e-5)
    generator = torch.Generator().manual_seed(0)

    def run() -> tuple[int, dict[str, float]]:
        started = time.process_time()
        rows, inside = _play(compute, envs, rollout, generator)
        played = time.process_time()
        frames = envs.n * rollout
        for _ in range(EPOCHS):
            for chosen in torch.randperm(frames, generator=generator).split(batch):
                part = {name: tensor[chosen] for name, tensor in rows.items()}
                outputs = compute(_frames(part["image"], part["mission"]))
                kept = {name: part[name][:, None] for name in ("actions", "logp", "values", "advantages", "returns")}
                losses = ppo_loss(outputs.logits, outputs.values, Experience(**kept), COEFFICIENTS)
                adam.zero_grad()
                losses.total.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
                adam.step()
        learned = time.process_time()
        parts = {"environment": inside, "inference": played - started - inside, "learning": learned - played}
        return frames, parts

    return run


@torch.no_grad()
def _play(
    compute: RowwiseNetwork, envs: Batch, rollout: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], float]:
    """Frames of one rollout, flattened, and the seconds spent in the environments."""
    kept: dict[str, list[Tensor]] = {
        name: [] for name in ("image", "mission", "actions", "logp", "values", "rewards", "dones")
    }
    inside = 0.0
    for _ in range(rollout):
        image, mission = (torch.from_numpy(array.copy()) for array in envs.look())
        outputs = compute(_frames(image, mission))
        actions, logp = draw(outputs.logits[:, 0], generator)
        clock = time.process_time()
        rewards, dones = envs.step(actions.numpy())
        inside += time.process_time() - clock
        found = (image, mission, actions, logp, outputs.values[:, 0], torch.from_numpy(20 * rewards), dones)
        for name, value in zip(kept, found, strict=True):
            kept[name].append(value if isinstance(value, Tensor) else torch.from_numpy(value))
    image, mission = (torch.from_numpy(array.copy()) for array in envs.look())
    last = compute(_frames(image, mission)).values[:, 0]
    rows = {name: torch.stack(values, 1) for name, values in kept.items()}
    advantages, returns = gae(rows["rewards"], rows["values"], rows["dones"], last, 0.99, 0.99)
    rows |= {"advantages": advantages, "returns": returns}
    return {name: tensor.flatten(0, 1) for name, tensor in rows.items()}, inside


def _frames(image: Tensor, mission: Tensor) -> Frames:
    """Each frame as an environment of its own, without memory."""
    n = len(image)
    empty = torch.zeros(n, 0)
    return Frames(
        image=image[:, None], mission=mission[:, None], fresh=torch.zeros(n, 1, dtype=torch.bool),
        task=torch.zeros(n, dtype=torch.long), memory=(empty, empty),
    )  # fmt: skip


def polyray(routing: RoutingOptions, kind: str) -> Iteration:
    """Polyray's algorithm in this process."""
    spec = InventorySpec(modules=SkillOptions.model_validate({"kind": kind}), routing=routing)
    policy = build_policy(SMALL, (LEVEL.name,), spec, len(VOCABULARY), seed=0)
    options = PPOOptions(
        environments=ENVS, rollout=ROLLOUT, recurrence=20, batch=BATCH, epochs=EPOCHS, lr=1e-3, backbone_lr=1e-3
    )
    trained = algorithm(
        Agent(
            options=options, policy=Blueprint.of(policy), levels=(LEVEL,), seed=0, workers=ActorOptions(),
            starts=lambda levels, seed: starts_for(levels, seed=seed), frames=1,
        )
    )  # fmt: skip

    def run() -> tuple[int, dict[str, float]]:
        result = trained.train()
        parts = {name: result["seconds"][name] for name in ("environment", "inference", "learning", "other")}
        return result["frames_now"], parts

    return run


class Words(gymnasium.ObservationWrapper[Any, Any, Any]):
    """minigrid's environment with its mission as numbers."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Dict(
            {
                "image": gymnasium.spaces.Box(0, 255, (7, 7, 3), np.uint8),
                "mission": gymnasium.spaces.Box(0, len(VOCABULARY) - 1, (LENGTH,), np.uint8),
            }
        )

    def observation(self, observation: Any) -> Any:
        """Image and numbered words."""
        return {"image": observation["image"], "mission": encode(observation["mission"])}


class Plain(TorchRLModule, ValueFunctionAPI):
    """The network without skills, as RLlib wants it."""

    def setup(self) -> None:
        """Build the network."""
        self.network = PolicyNetwork(SMALL, len(VOCABULARY))
        self.compute = RowwiseNetwork(self.network)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        seen = batch[Columns.OBS]
        outputs = self.compute(_frames(seen["image"].to(torch.uint8), seen["mission"].to(torch.uint8)))
        return {Columns.ACTION_DIST_INPUTS: outputs.logits[:, 0], Columns.EMBEDDINGS: outputs.values[:, 0]}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """The critic's values."""
        values: Tensor = self._forward(batch)[Columns.EMBEDDINGS] if embeddings is None else embeddings
        return values


def rllib() -> Iteration:
    """RLlib's own PPO."""
    register_env("words", lambda config: Words(gymnasium.make(LEVEL.env_id, disable_env_checker=True)))
    config = PPOConfig().environment("words").env_runners(num_env_runners=0, num_envs_per_env_runner=SINGLES)
    config.training(
        train_batch_size_per_learner=SINGLES * SINGLE_ROLLOUT, minibatch_size=SINGLE_BATCH, num_epochs=EPOCHS, lr=1e-3,
        grad_clip=0.5, use_kl_loss=False,
    )  # fmt: skip
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=Plain)).learners(num_learners=0)
    trained = config.build_algo()

    def run() -> tuple[int, dict[str, float]]:
        trained.train()
        return SINGLES * SINGLE_ROLLOUT, {}

    return run


def measure(runs: dict[str, Iteration], rounds: int) -> Iterator[dict[str, Any]]:
    """Median frames per second of each, taken in turn after one round that is not counted, and shares of the time."""
    rates: dict[str, list[float]] = {name: [] for name in runs}
    shares: dict[str, dict[str, float]] = {name: {} for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.process_time()
            with redirect_stdout(StringIO()):  # minigrid prints why it begins a level anew
                frames, parts = run()
            if number:
                rates[name].append(frames / (time.process_time() - started))
                total = sum(parts.values())
                shares[name] = {f"{part}_%": 100 * seconds / total for part, seconds in parts.items()}
    found = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in found.items():
        own = {
            f"{part}_%": shares[name].get(f"{part}_%", "") for part in ("environment", "inference", "learning", "other")
        }
        yield {
            "loop": name, "frames_per_second": rate, "over_rllib": rate / found["rllib"],
            "over_torch_ac": rate / found["torch-ac"], "over_bare": rate / found["bare"], **own,
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
        ray_session(None, Path(folder)),
        redirect_stdout(StringIO()),  # minigrid prints why it begins a level anew
    ):
        runs: dict[str, Iteration] = {
            "torch-ac": loop(Singles(SINGLES), SINGLE_ROLLOUT, SINGLE_BATCH),
            "rllib": rllib(),
            "bare": loop(Batched(ENVS), ROLLOUT, BATCH),
            "polyray, shared dense": polyray(RoutingOptions.model_validate({"kind": "shared"}), "dense"),
            "polyray, 9 sparse skills": polyray(NINE, "sparse"),
            "polyray, 9 dense skills": polyray(NINE, "dense"),
        }
        rows = list(measure(runs, arguments.rounds))
    show("PPO on GoToLocal, one core", rows, arguments.json)


if __name__ == "__main__":
    main()
