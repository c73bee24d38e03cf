"""An EnvRunner that steps the batched engine and hands over whole arrays."""

from collections.abc import Collection, Mapping
from typing import Any

import gymnasium
import numpy as np
import ray
import torch
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.metrics import WEIGHTS_SEQ_NO

from polyray.cluster.rllib.module import NO_NOISE, noise_seed
from polyray.envs.engine.engine import Engine
from polyray.envs.missions import LENGTH, VOCABULARY
from polyray.envs.starts.resumable import starts_for
from polyray.rl.player import Player
from polyray.rl.rollout import Rollout
from polyray.rl.settings import Agent

N_ACTIONS = 7

OBSERVATIONS = gymnasium.spaces.Dict(
    {
        "image": gymnasium.spaces.Box(0, 255, (7, 7, 3), np.uint8),
        "mission": gymnasium.spaces.Box(0, len(VOCABULARY) - 1, (LENGTH,), np.uint8),
    }
)
ACTIONS: gymnasium.Space[Any] = gymnasium.spaces.Discrete(N_ACTIONS)


class BatchedRunner(EnvRunner):
    """Plays its share of the environments with the policy that it was sent last.

    The environments are built when they are first played in, and drawn from a seed for the runner and that iteration:
    one that is started again in the middle of a training does not repeat what it played before. RLlib's local runner
    beside remote ones so never builds any. A remote runner keeps torch to one thread.
    """

    module: Any

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        self.agent: Agent = config.agent
        self.index: int = self.worker_index or 0
        if self.index:
            torch.set_num_threads(1)
        self.player: Player | None = None
        self._weights_seq_no = 0
        self.make_module()

    def make_module(self) -> None:
        """Build the policy from its blueprint."""
        self.module = self.config.get_rl_module_spec(spaces=self.get_spaces()).build()
        self.device = torch.device("cpu" if self.index else self.agent.workers.device)
        self.module.to(self.device)
        self.module.eval()

    def make_env(self, iteration: int = 0) -> Player:
        """Build the engine: equally many environments of every level, level after level, or levels drawn by episode."""
        agent, n = self.agent, self.agent.environments_per_runner
        levels = np.arange(n) * len(agent.levels) // n
        seeds = np.random.SeedSequence([agent.options.seed, self.index, iteration]).generate_state(2, np.uint32)
        starts = starts_for(agent.levels, seed=int(seeds[0]), skip_held_out=True)
        self.player = Player(
            Engine(agent.levels, levels, starts), starts, agent.rows, agent.policy.options.memory,
            torch.Generator().manual_seed(int(seeds[1])), self.device, draws_levels=agent.options.draw == "episodes",
        )  # fmt: skip
        return self.player

    def sample(self, iteration: int = 0, **kwargs: Any) -> Rollout:
        """Play one rollout in all environments, with the routing noise of this iteration."""
        player = self.player or self.make_env(iteration)
        options = self.agent.options
        seed = noise_seed(options.seed, iteration) if options.routing_noise == "shared" else NO_NOISE
        task = torch.from_numpy(player.task).to(self.device)
        by_episode = options.draw == "episodes"
        among = torch.from_numpy(player.rows).to(self.device) if by_episode else None
        act = self.module.policy.folded(task, self.module.noise(seed), among)
        return player.play(act, options.rollout, 1 if by_episode else options.recurrence)

    def get_metrics(self) -> dict[str, Any]:
        """RLlib's own figures, of which there are none: a rollout brings its figures along."""
        metrics: dict[str, Any] = self.metrics.reduce()
        return metrics

    def get_spaces(self) -> dict[str, Any]:
        """Observations and actions of one environment."""
        return {INPUT_ENV_SPACES: (OBSERVATIONS, ACTIONS), DEFAULT_MODULE_ID: (OBSERVATIONS, ACTIONS)}

    def assert_healthy(self) -> None:
        """Nothing to check: a runner that was not built is not there."""

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The policy's weights: what RLlib gives to a runner that it has started again."""
        return {COMPONENT_RL_MODULE: self.module.get_state(**kwargs), WEIGHTS_SEQ_NO: self._weights_seq_no}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over weights, unless they are older than those that the runner has."""
        sequence = state.get(WEIGHTS_SEQ_NO, 0)
        if COMPONENT_RL_MODULE in state and (sequence == 0 or self._weights_seq_no <= sequence):
            weights = state[COMPONENT_RL_MODULE]
            weights = ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights
            self.module.set_state(weights.get(DEFAULT_MODULE_ID, weights))
            self._weights_seq_no = sequence or self._weights_seq_no

    def playing_state(self) -> dict[str, Any]:
        """State of environments, memories, generators and start states; no player before the first rollout."""
        return {"index": self.index, "player": None if self.player is None else self.player.state()}

    def load_playing_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `playing_state` returned in the runner with the same number."""
        if state["player"] is not None:
            (self.player or self.make_env()).load(state["player"])

    def stop(self) -> None:
        """Let go of the environments."""
        self.player = None
