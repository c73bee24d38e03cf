"""A policy and a batch of environments playing together: whole arrays, no objects for steps or episodes.

Nothing here imports Ray; what runs as an EnvRunner is in `rllib_runner`.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyray.envs.engine.engine import Engine
from polyray.envs.starts.resumable import ResumableStarts
from polyray.rl.policy import Frames, Outputs
from polyray.rl.rollout import Arrays, Episodes, Rollout

Act = Callable[[Frames], Outputs]


class Player:
    """Plays in all environments of `engine` at once and remembers between calls where each of them stands.

    starts: where the engine's start states come from. task: the policy's row for each environment [n]. memory: width
    of the policy's memory, 0 for none. generator: draws the actions.
    """

    def __init__(
        self,
        engine: Engine,
        starts: ResumableStarts,
        task: NDArray[np.int64],
        memory: int,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self.engine, self.starts, self.task = engine, starts, task
        self.generator, self.device = generator, device
        self.memory = torch.zeros(2, engine.n, memory, device=device)
        self.fresh = np.ones(engine.n, np.bool_)
        self.reward = np.zeros(engine.n, np.float32)  # of the episode so far
        self.length = np.zeros(engine.n, np.int64)
        self._task = torch.from_numpy(task).to(device)
        engine.reset()

    @torch.no_grad()
    def play(self, act: Act, frames: int, recurrence: int) -> Rollout:
        """`frames` steps in every environment, actions drawn from what `act` says; a finished episode starts anew."""
        rollout = _empty(self.engine, frames)
        memories: list[Tensor] = []
        ended: list[Episodes] = []
        inference = environment = 0.0
        clock = time.perf_counter()
        for t in range(frames):
            if t % recurrence == 0:
                memories.append(self.memory)
            _store(rollout, t, image=self.engine.image, mission=self.engine.mission, fresh=self.fresh)
            outputs = self._outputs(act)
            actions, logp = draw(outputs.logits[:, 0], self.generator)
            self.memory = torch.stack(outputs.memory)
            _store(rollout, t, actions=_array(actions), logp=_array(logp), values=_array(outputs.values[:, 0]))
            inference, clock = _lap(inference, clock)
            rewards, dones = self._step(rollout["actions"][:, t], ended)
            _store(rollout, t, rewards=rewards, dones=dones)
            environment, clock = _lap(environment, clock)
        last = _array(self._outputs(act).values[:, 0])
        inference, clock = _lap(inference, clock)
        kept = _array(torch.stack(memories, dim=2))  # [2, n, pieces, memory]
        return Rollout(
            frames=rollout, memory_h=kept[0], memory_c=kept[1], last_values=last, task=self.task,
            episodes=Episodes.joined(ended), environment=environment, inference=inference,
        )  # fmt: skip

    def _outputs(self, act: Act) -> Outputs:
        """What the policy says of the present frame; it clears the memory of those whose episode is fresh."""
        return act(
            Frames(
                image=torch.from_numpy(self.engine.image)[:, None].to(self.device),
                mission=torch.from_numpy(self.engine.mission)[:, None].to(self.device),
                fresh=torch.from_numpy(self.fresh)[:, None].to(self.device),
                task=self._task,
                memory=(self.memory[0], self.memory[1]),
            )
        )

    def _step(self, actions: NDArray[np.int64], ended: list[Episodes]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        rewards, terminated, truncated = self.engine.step(np.ascontiguousarray(actions))
        dones = terminated | truncated
        self.reward += rewards
        self.length += 1
        rows = np.flatnonzero(dones)
        ended.append(Episodes(task=self.engine.tasks[rows], reward=self.reward[rows], length=self.length[rows]))
        if len(rows):
            self.engine.reset(rows)
            self.reward[rows] = 0
            self.length[rows] = 0
        self.fresh = dones
        return rewards, dones

    def state(self) -> dict[str, Any]:
        """All that `load` needs to go on exactly."""
        return {
            "state": {name: array.copy() for name, array in self.engine.state._asdict().items()},
            "seen": [array.copy() for array in _seen(self.engine)],
            "memory": _array(self.memory).copy(),
            "fresh": self.fresh.copy(),
            "reward": self.reward.copy(),
            "length": self.length.copy(),
            "generator": self.generator.get_state().numpy(),
            "starts": self.starts.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave, in the same environments."""
        for name, array in self.engine.state._asdict().items():
            array[:] = state["state"][name]
        for own, kept in zip(_seen(self.engine), state["seen"], strict=True):
            own[:] = kept
        self.memory = torch.from_numpy(state["memory"].copy()).to(self.device)
        self.fresh = state["fresh"].copy()
        self.reward[:], self.length[:] = state["reward"], state["length"]
        self.generator.set_state(torch.from_numpy(state["generator"].copy()))
        self.starts.restore(state["starts"])


def draw(logits: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """An action for every row of logits [n, actions], and the logarithm of its probability: both [n].

    The largest of p / e with e ~ Exp(1), drawn on the generator's device so that a seed means the same everywhere.
    """
    logs = logits.log_softmax(-1)
    waits = torch.empty(logits.shape).exponential_(generator=generator).to(logits.device)
    actions = (logs - waits.log()).argmax(-1)
    return actions, logs.gather(-1, actions[:, None])[:, 0]


def _empty(engine: Engine, frames: int) -> Arrays:
    n = engine.n
    return {
        "image": np.empty((n, frames, *engine.image.shape[1:]), np.uint8),
        "mission": np.empty((n, frames, engine.mission.shape[1]), np.uint8),
        "fresh": np.empty((n, frames), np.bool_),
        "actions": np.empty((n, frames), np.int64),
        "logp": np.empty((n, frames), np.float32),
        "values": np.empty((n, frames), np.float32),
        "rewards": np.empty((n, frames), np.float32),
        "dones": np.empty((n, frames), np.bool_),
    }


def _store(rollout: Arrays, t: int, **arrays: NDArray[Any]) -> None:
    for name, array in arrays.items():
        rollout[name][:, t] = array


def _seen(engine: Engine) -> list[NDArray[np.uint8]]:
    return [engine.image, engine.direction, engine.mission]


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().numpy()


def _lap(seconds: float, clock: float) -> tuple[float, float]:
    now = time.perf_counter()
    return seconds + now - clock, now
