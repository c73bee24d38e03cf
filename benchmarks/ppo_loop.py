"""A plain PPO loop on GoToLocal over two kinds of environments: a list of minigrid's, and Polyray's batched engine."""

import time
from collections.abc import Callable
from typing import Protocol

import gymnasium
import minigrid  # noqa: F401  (registers its environments)
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyray.envs.engine.engine import Engine
from polyray.envs.levels import LEVELS
from polyray.envs.missions import VOCABULARY, encode
from polyray.envs.starts.resumable import starts_for
from polyray.rl.fast.network import RowwiseNetwork
from polyray.rl.frames import Frames, Outputs
from polyray.rl.network import PolicyNetwork
from polyray.rl.options import SMALL
from polyray.rl.player import draw
from polyray.rl.ppo import Coefficients, Experience, gae, ppo_loss

LEVEL = LEVELS["GoToLocal"]
EPOCHS = 4
COEFFICIENTS = Coefficients(clip=0.2, value=0.5, entropy=0.01)
Compute = Callable[[Frames], Outputs]
Iteration = Callable[[], tuple[int, dict[str, float]]]  # one rollout and its updates: frames, seconds by activity
Observation = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # image [n, 7, 7, 3], mission [n, words]


class Environments(Protocol):
    """n environments, each of which begins a new episode when one ends."""

    n: int

    def observe(self) -> Observation:
        """Current observations."""

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Take an action in each; the rewards and the ends of episodes, [n] each."""


class BatchedEnvironments:
    """Polyray's engine with n environments."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._engine = Engine([LEVEL], np.zeros(n, np.int64), starts_for([LEVEL], seed=0))
        self._engine.reset()

    def observe(self) -> Observation:
        """Current observations."""
        return self._engine.image, self._engine.mission

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Take an action in each; the rewards and the ends of episodes, [n] each."""
        rewards, terminated, truncated = self._engine.step(actions)
        dones = terminated | truncated
        if dones.any():
            self._engine.reset(np.flatnonzero(dones))
        return rewards, dones


class SingleEnvironments:
    """A list of n of minigrid's environments."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._envs = [gymnasium.make(LEVEL.env_id, disable_env_checker=True).unwrapped for _ in range(n)]
        self._observations = [env.reset(seed=number)[0] for number, env in enumerate(self._envs)]

    def observe(self) -> Observation:
        """Current observations."""
        images = np.stack([observation["image"] for observation in self._observations])
        return images, np.stack([encode(observation["mission"]) for observation in self._observations])

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Take an action in each; the rewards and the ends of episodes, [n] each."""
        rewards, dones = np.zeros(self.n, np.float32), np.zeros(self.n, np.bool_)
        for index, (env, action) in enumerate(zip(self._envs, actions.tolist(), strict=True)):
            self._observations[index], rewards[index], terminated, truncated, _ = env.step(action)
            dones[index] = terminated or truncated
            if dones[index]:
                self._observations[index] = env.reset()[0]
        return rewards, dones


def plain_loop(envs: Environments, rollout: int, batch: int, is_fast: bool = True) -> Iteration:
    """Make a PPO loop over `envs`: act, compute advantages, learn from shuffled minibatches for some epochs.

    Args:
        rollout: frames of each environment in an iteration.
        batch: frames of a minibatch.
        is_fast: compute the network with `polyray.rl.fast`, or layer by layer as it reads.
    """
    network = PolicyNetwork(SMALL, len(VOCABULARY))
    compute: Compute = RowwiseNetwork(network) if is_fast else network
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, eps=1e-5)
    generator = torch.Generator().manual_seed(0)

    def iterate() -> tuple[int, dict[str, float]]:
        """Play one rollout and learn from it."""
        started = time.process_time()
        frames, environment = play(compute, envs, rollout, generator)
        played = time.process_time()
        n_frames = envs.n * rollout
        for _ in range(EPOCHS):
            for indices in torch.randperm(n_frames, generator=generator).split(batch):
                _update(compute, adam, {name: tensor[indices] for name, tensor in frames.items()})
        learning = time.process_time() - played
        seconds = {"environment": environment, "inference": played - started - environment, "learning": learning}
        return n_frames, seconds

    return iterate


@torch.no_grad()
def play(
    compute: Compute, envs: Environments, rollout: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], float]:
    """Play one rollout: its frames [n * rollout, ...] by name, and the seconds spent in the environments."""
    names = ("image", "mission", "actions", "logp", "values", "rewards", "dones")
    columns: dict[str, list[Tensor]] = {name: [] for name in names}
    seconds = 0.0
    for _ in range(rollout):
        image, mission = (torch.from_numpy(array.copy()) for array in envs.observe())
        outputs = compute(single_frames(image, mission))
        actions, logp = draw(outputs.logits[:, 0], generator)
        clock = time.process_time()
        rewards, dones = envs.step(actions.numpy())
        seconds += time.process_time() - clock
        step = (
            image,
            mission,
            actions,
            logp,
            outputs.values[:, 0],
            torch.from_numpy(20 * rewards),
            torch.tensor(dones),
        )
        for name, tensor in zip(names, step, strict=True):
            columns[name].append(tensor)
    image, mission = (torch.from_numpy(array.copy()) for array in envs.observe())
    last_values = compute(single_frames(image, mission)).values[:, 0]
    frames = {name: torch.stack(tensors, 1) for name, tensors in columns.items()}  # [n, rollout, ...]
    advantages, returns = gae(frames["rewards"], frames["values"], frames["dones"], last_values, 0.99, 0.99)
    frames |= {"advantages": advantages, "returns": returns}
    return {name: tensor.flatten(0, 1) for name, tensor in frames.items()}, seconds


def single_frames(image: Tensor, mission: Tensor) -> Frames:
    """Each of n frames as an environment of its own, without memory: image [n, 7, 7, 3], mission [n, words]."""
    n = len(image)
    memory = torch.zeros(n, 0)
    return Frames(
        image=image[:, None], mission=mission[:, None], fresh=torch.zeros(n, 1, dtype=torch.bool),
        task=torch.zeros(n, dtype=torch.long), memory=(memory, memory),
    )  # fmt: skip


def _update(compute: Compute, adam: torch.optim.Adam, frames: dict[str, Tensor]) -> None:
    """Take one step of Adam on a minibatch."""
    outputs = compute(single_frames(frames["image"], frames["mission"]))
    experience = Experience(
        actions=frames["actions"][:, None], logp=frames["logp"][:, None], values=frames["values"][:, None],
        advantages=frames["advantages"][:, None], returns=frames["returns"][:, None],
    )  # fmt: skip
    losses = ppo_loss(outputs.logits, outputs.values, experience, COEFFICIENTS)
    adam.zero_grad()
    losses.total.backward()
    torch.nn.utils.clip_grad_norm_([parameter for group in adam.param_groups for parameter in group["params"]], 0.5)
    adam.step()
