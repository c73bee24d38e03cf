"""An EnvRunner that steps the batched engine and hands over whole arrays."""

from collections.abc import Collection
from typing import Any

import gymnasium
import numpy as np
import ray
import torch
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics import WEIGHTS_SEQ_NO

from polyray.cluster.rllib.module import NO_NOISE, noise_seed
from polyray.envs.engine.engine import Engine
from polyray.envs.missions import LENGTH, VOCABULARY
from polyray.rl.player import Player
from polyray.rl.rollout import Rollout
from polyray.rl.settings import environments_per_runner

PLAYER = "player"  # the part of a runner's state that holds its environments
N_ACTIONS = 7

OBSERVATIONS = gymnasium.spaces.Dict(
    {
        "image": gymnasium.spaces.Box(0, 255, (7, 7, 3), np.uint8),
        "mission": gymnasium.spaces.Box(0, len(VOCABULARY) - 1, (LENGTH,), np.uint8),
    }
)
ACTIONS: gymnasium.Space[Any] = gymnasium.spaces.Discrete(N_ACTIONS)


class BatchedRunner(EnvRunner, Checkpointable):
    """Plays its share of the environments with the policy that it was sent last.

    The environments are built when they are first played in, and drawn from a seed for the runner and that iteration:
    one that is started again in the middle of a training does not repeat what it played before. RLlib's local runner
    beside remote ones so never builds any. A remote runner keeps torch to one thread.
    """

    module: Any

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        self.agent = config.agent
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
        """Build the engine with equally many environments of every level, level after level."""
        agent = self.agent
        n = environments_per_runner(agent.options.environments, len(agent.levels), agent.workers)
        levels = np.repeat(np.arange(len(agent.levels)), n // len(agent.levels))
        seeds = np.random.SeedSequence([agent.seed, self.index, iteration]).generate_state(2, np.uint32)
        starts = agent.starts(agent.levels, int(seeds[0]))
        self.player = Player(
            Engine(agent.levels, levels, starts), starts, agent.tasks[levels], agent.policy.options.memory,
            torch.Generator().manual_seed(int(seeds[1])), self.device,
        )  # fmt: skip
        return self.player

    def sample(self, iteration: int = 0, **kwargs: Any) -> Rollout:
        """What all environments play in one rollout, with the routing noise of this iteration."""
        player = self.player or self.make_env(iteration)
        options = self.agent.options
        seed = noise_seed(self.agent.seed, iteration) if options.routing_noise == "shared" else NO_NOISE
        task = torch.from_numpy(player.task).to(self.device)
        act = self.module.policy.folded(task, self.module.noise(seed))
        rollout = player.play(act, options.rollout, options.recurrence)
        self.num_env_steps_sampled_lifetime += rollout.n_frames
        return rollout

    def get_metrics(self) -> dict[str, Any]:
        """RLlib's own figures, of which there are none: a rollout brings its figures along."""
        found: dict[str, Any] = self.metrics.reduce()
        return found

    def get_spaces(self) -> dict[str, Any]:
        """What one environment shows and which actions it takes."""
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
        """The policy's weights, and where environments, memories, generators and start states stand."""
        state: dict[str, Any] = {"index": self.index, "frames": self.num_env_steps_sampled_lifetime}
        if self._check_component(COMPONENT_RL_MODULE, components, not_components):
            state[COMPONENT_RL_MODULE] = self.module.get_state(**kwargs)
            state[WEIGHTS_SEQ_NO] = self._weights_seq_no
        if self.player is not None and self._check_component(PLAYER, components, not_components):
            state[PLAYER] = self.player.state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over weights unless one's own are newer; and environments, if they are this runner's own."""
        if COMPONENT_RL_MODULE in state:
            sequence = state.get(WEIGHTS_SEQ_NO, 0)
            if sequence == 0 or self._weights_seq_no <= sequence:
                weights = state[COMPONENT_RL_MODULE]
                weights = ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights
                self.module.set_state(weights.get(DEFAULT_MODULE_ID, weights))
            self._weights_seq_no = sequence or self._weights_seq_no
        if PLAYER in state and state["index"] == self.index:
            (self.player or self.make_env()).load(state[PLAYER])
            self.num_env_steps_sampled_lifetime = state["frames"]

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What a copy of this runner is built from."""
        return (), {"config": self.config, "worker_index": self.worker_index, "num_workers": self.num_workers}

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """Parts with folders of their own in a checkpoint."""
        return [(COMPONENT_RL_MODULE, self.module)]

    def stop(self) -> None:
        """Let go of the environments."""
        self.player = None
