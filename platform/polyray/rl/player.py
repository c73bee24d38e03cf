"""A policy and a batch of environments playing together: whole arrays, no objects for steps or episodes.

Nothing here imports Ray; `polyray.cluster.rllib.runner` makes an EnvRunner of it.
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
from polyray.rl.episodes import Episodes
from polyray.rl.frames import Frames, Outputs
from polyray.rl.rollout import Arrays, Rollout

Act = Callable[[Frames], Outputs]


class Player:
    """Player of all environments of an engine at once; each rollout goes on where the last one stopped.

    Args:
        engine: n environments.
        starts: source of the engine's start states.
        rows: int64 [levels], the policy's row for each level of the engine.
        memory: width of the policy's memory, 0 for none.
        generator: draws the actions, and the levels.
        device: device of the policy.
        draws_levels: a level is drawn for every episode, each as likely; else an environment keeps its own.
    """

    def __init__(
        self,
        engine: Engine,
        starts: ResumableStarts,
        rows: NDArray[np.int64],
        memory: int,
        generator: torch.Generator,
        device: torch.device,
        *,
        draws_levels: bool = False,
    ) -> None:
        self.engine, self.starts, self.rows = engine, starts, rows
        self.generator, self.device = generator, device
        self.memory = torch.zeros(2, engine.n, memory, device=device)
        self.fresh = np.ones(engine.n, np.bool_)
        self.reward = np.zeros(engine.n, np.float32)  # of the episode so far
        self.length = np.zeros(engine.n, np.int64)
        self._draws_levels = draws_levels
        self._begin(np.arange(engine.n))

    @property
    def task(self) -> NDArray[np.int64]:
        """The policy's row for each environment in its present episode, [n]."""
        return self.rows[self.engine.tasks]

    @torch.no_grad()
    def play(self, act: Act, frames: int, recurrence: int) -> Rollout:
        """Play `frames` steps in every environment, actions drawn from the logits of `act`; episodes begin anew.

        Args:
            act: the policy, which clears the memory of environments whose episode is fresh.
            frames: steps, a multiple of `recurrence`.
            recurrence: steps of a piece; the memory before each piece is part of the rollout.
        """
        arrays = _empty_arrays(self.engine, frames)
        memories: list[Tensor] = []
        episodes: list[Episodes] = []
        watch = _Stopwatch()
        for step in range(frames):
            if step % recurrence == 0:
                memories.append(self.memory)
            self._choose(act, arrays, step)
            watch.lap("inference")
            episodes.append(self._move(arrays, step))
            watch.lap("environment")
        last_values = _array(self._outputs(act).values[:, 0])
        watch.lap("inference")
        hidden, cell = _array(torch.stack(memories, dim=2))  # [n, pieces, memory] each
        return Rollout(
            frames=arrays, memory_h=hidden, memory_c=cell, last_values=last_values, task=arrays.pop("task"),
            episodes=Episodes.join(episodes), running=self._episodes(np.arange(self.engine.n), frames), **watch.seconds,
        )  # fmt: skip

    def _choose(self, act: Act, arrays: Arrays, step: int) -> None:
        """Show the policy the present frames and draw actions; both are noted in `arrays`."""
        engine = self.engine
        _store(arrays, step, image=engine.image, mission=engine.mission, fresh=self.fresh, task=self.task)
        outputs = self._outputs(act)
        actions, logp = draw(outputs.logits[:, 0], self.generator)
        self.memory = torch.stack(outputs.memory)
        _store(arrays, step, actions=_array(actions), logp=_array(logp), values=_array(outputs.values[:, 0]))

    def _outputs(self, act: Act) -> Outputs:
        """Outputs of the policy for the present frames."""
        return act(
            Frames(
                image=torch.from_numpy(self.engine.image)[:, None].to(self.device),
                mission=torch.from_numpy(self.engine.mission)[:, None].to(self.device),
                fresh=torch.from_numpy(self.fresh)[:, None].to(self.device),
                task=torch.from_numpy(self.task).to(self.device),
                memory=(self.memory[0], self.memory[1]),
            )
        )

    def _move(self, arrays: Arrays, step: int) -> Episodes:
        """Take the actions of this step, note rewards and ends, and begin ended episodes anew; those that ended."""
        rewards, terminated, truncated = self.engine.step(np.ascontiguousarray(arrays["actions"][:, step]))
        dones = terminated | truncated
        _store(arrays, step, rewards=rewards, dones=dones)
        self.reward += rewards
        self.length += 1
        ended = np.flatnonzero(dones)
        episodes = self._episodes(ended, step + 1)
        if len(ended):
            self._begin(ended)
            self.reward[ended] = 0
            self.length[ended] = 0
        self.fresh = dones
        return episodes

    def _begin(self, environments: NDArray[np.int64]) -> None:
        """Begin an episode in each of these environments."""
        if self._draws_levels:
            levels = torch.randint(len(self.rows), environments.shape, generator=self.generator).numpy()
            self.engine.reset(environments, levels)
        else:
            self.engine.reset(environments)

    def _episodes(self, environments: NDArray[np.int64], steps: int) -> Episodes:
        """Episodes in these environments as they are after so many steps of the rollout."""
        length = self.length[environments]
        return Episodes(
            task=self.engine.tasks[environments], reward=self.reward[environments], length=length,
            started=steps - length, environment=environments,
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """All that `load` needs to go on exactly."""
        return {
            "environments": {name: array.copy() for name, array in self.engine.state.arrays().items()},
            "image": self.engine.image.copy(),
            "memory": _array(self.memory).copy(),
            "fresh": self.fresh.copy(),
            "reward": self.reward.copy(),
            "length": self.length.copy(),
            "generator": self.generator.get_state().numpy(),
            "starts": self.starts.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, in the same environments."""
        for name, array in self.engine.state.arrays().items():
            array[:] = state["environments"][name]
        self.engine.tasks[:] = state["environments"]["task"]
        self.engine.image[:] = state["image"]
        self.memory = torch.from_numpy(state["memory"].copy()).to(self.device)
        self.fresh = state["fresh"].copy()
        self.reward[:], self.length[:] = state["reward"], state["length"]
        self.generator.set_state(torch.from_numpy(state["generator"].copy()))
        self.starts.restore(state["starts"])


def draw(logits: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw an action for each row of logits [n, actions]; the actions and the logarithms of their probabilities, [n].

    The largest of p / e with e ~ Exp(1), drawn on the generator's device: every device draws the same from a seed.
    """
    logs = logits.log_softmax(-1)
    waits = torch.empty(logits.shape).exponential_(generator=generator).to(logits.device)
    actions = (logs - waits.log()).argmax(-1)
    return actions, logs.gather(-1, actions[:, None])[:, 0]


class _Stopwatch:
    """Seconds spent in each activity; a lap counts for one of them and begins the next."""

    def __init__(self) -> None:
        self.seconds = {"inference": 0.0, "environment": 0.0}
        self._begun = time.perf_counter()

    def lap(self, activity: str) -> None:
        """Count the seconds since the last lap for `activity`."""
        now = time.perf_counter()
        self.seconds[activity] += now - self._begun
        self._begun = now


def _empty_arrays(engine: Engine, frames: int) -> Arrays:
    n = engine.n
    return {
        "image": np.empty((n, frames, *engine.image.shape[1:]), np.uint8),
        "mission": np.empty((n, frames, engine.mission.shape[1]), np.uint8),
        "task": np.empty((n, frames), np.int64),
        "fresh": np.empty((n, frames), np.bool_),
        "actions": np.empty((n, frames), np.int64),
        "logp": np.empty((n, frames), np.float32),
        "values": np.empty((n, frames), np.float32),
        "rewards": np.empty((n, frames), np.float32),
        "dones": np.empty((n, frames), np.bool_),
    }


def _store(arrays: Arrays, step: int, **columns: NDArray[Any]) -> None:
    for name, column in columns.items():
        arrays[name][:, step] = column


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().numpy()
