"""PPO on RLlib in which whole arrays flow: runners, generalised advantages, learners, figures."""

import tempfile
import time
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from polyray.cluster.rllib.learner import ITERATION, LOSSES
from polyray.errors import RunError
from polyray.rl.ppo import ValueNorm, explained_variance, gae, standardise
from polyray.rl.rollout import Arrays, Rollout, join, sequences, shares
from polyray.rl.settings import Agent
from polyray.rl.tally import Tally

OWN = "polyray"  # the part of an algorithm's state that RLlib knows nothing of
PATIENCE = 3  # iterations in which no runner returns anything, until the run has failed


class ModularPPOConfig(PPOConfig):
    """PPO's config with one more field: `agent`, what it trains and how."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or ModularPPO)
        self.agent: Agent | None = None


class ModularPPO(PPO):
    """Trains the policy of `config.agent`; `train()` returns RLlib's result with Polyray's figures in it.

    frames, frames_now: played so far, and in this iteration. Of episodes: `polyray.rl.tally.Tally.figures`.
    losses: means over the iteration's minibatches (`polyray.rl.ppo.Losses`), the gradient's norm before it is clipped,
        and explained_before: the returns' variance that the critic explained while playing.
    seconds: iteration = sampling (of which environment and inference, of the mean runner) + learning + other.
    runners: remote ones and healthy ones, and how many times one was lost and one was started again so far.
    """

    config: Any  # RLlib says of these that they may be None, which after `setup` they are not
    env_runner_group: Any
    learner_group: Any
    metrics: Any

    @classmethod
    def get_default_config(cls) -> ModularPPOConfig:
        """A config without an agent."""
        return ModularPPOConfig()

    def setup(self, config: Any) -> None:
        """Build runners and learners, and send the learners' weights round."""
        self.agent: Agent = config.agent
        self.tally = Tally([level.name for level in self.agent.levels], self.agent.options.window)
        self.returns = ValueNorm()
        self.frames = self.lost = self.silent = 0
        self._figures: dict[str, Any] = {}
        super().setup(config)
        self._send_weights()

    def _setup_logdir(self) -> None:
        """Tune's folder where Tune runs this; else one of our own in place of RLlib's in the user's home."""
        self._scratch = tempfile.TemporaryDirectory(prefix="polyray-rllib-")
        if self._storage:
            super()._setup_logdir()
        else:
            self._logdir = self._scratch.name  # type: ignore[assignment]  # Tune begins it as None

    def cleanup(self) -> None:
        """Stop runners and learners, and leave no folder behind."""
        super().cleanup()
        self._scratch.cleanup()

    def training_step(self) -> None:
        """One iteration: play, learn, send the weights round."""
        started = time.perf_counter()
        rollout = self._play()
        played = time.perf_counter()
        if rollout is None:
            return
        rows, explained = self._rows(rollout)
        learning = time.perf_counter()
        self._learn(rows)
        learned = time.perf_counter()
        self._send_weights()
        self.tally.add(rollout.episodes)
        self._figures = {
            "frames": self.frames,
            "frames_now": rollout.n_frames,
            **self.tally.figures(rollout.episodes),
            "losses": {"explained_before": explained},
            "seconds": {
                "sampling": played - started,
                "environment": rollout.environment,
                "inference": rollout.inference,
                "learning": learned - learning,
            },
        }

    def step(self) -> dict[str, Any]:
        """RLlib's iteration, with the figures added to what it reports."""
        started = time.perf_counter()
        results: dict[str, Any] = super().step()
        figures, self._figures = self._figures, {}
        group = self.env_runner_group
        figures["runners"] = {
            "remote": group.num_remote_env_runners(),
            "healthy": group.num_healthy_remote_env_runners(),
            "lost": self.lost,
            "restarted": group.num_remote_worker_restarts(),
        }
        if "losses" in figures:
            learned = results[LEARNER_RESULTS][DEFAULT_MODULE_ID]
            figures["losses"].update({name: float(learned[name]) for name in LOSSES if name in learned})
            seconds = figures["seconds"]
            seconds["iteration"] = time.perf_counter() - started
            seconds["other"] = seconds["iteration"] - seconds["sampling"] - seconds["learning"]
        return {**results, **figures}

    def _play(self) -> Rollout | None:
        """What all healthy runners play in this iteration, None if none of them came back.

        Raises:
            RunError: none came back, for the `PATIENCE`-th time in a row.
        """
        group, iteration = self.env_runner_group, self.iteration
        if not group.num_remote_env_runners():
            rollouts = [group.local_env_runner.sample(iteration)]
        else:
            healthy = group.num_healthy_remote_env_runners()
            rollouts = group.foreach_env_runner(lambda runner: runner.sample(iteration), local_env_runner=False)
            self.lost += healthy - group.num_healthy_remote_env_runners()
        self.silent = 0 if rollouts else self.silent + 1
        if self.silent >= PATIENCE:
            raise RunError(f"No environment runner answered in {PATIENCE} iterations; Ray's log says why.")
        if not rollouts:
            return None
        rollout = join(rollouts)
        self.frames += rollout.n_frames
        self.metrics.log_value(
            (ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), rollout.n_frames, reduce="lifetime_sum"
        )
        return rollout

    def _rows(self, rollout: Rollout) -> tuple[Arrays, float]:
        """Sequences with advantages and returns, and how much of the returns' variance the critic explained."""
        options = self.agent.options
        values, last = _tensor(rollout.frames["values"]), _tensor(rollout.last_values)
        if options.normalise_values:
            values, last = self.returns.denormalise(values), self.returns.denormalise(last)
        rewards = _tensor(rollout.frames["rewards"]) * options.reward_scale
        advantages, returns = gae(
            rewards, values, _tensor(rollout.frames["dones"]), last, options.discount, options.lam
        )
        explained = float(explained_variance(values, returns))
        if options.normalise_values:
            self.returns.update(returns)
            values, returns = self.returns.normalise(values), self.returns.normalise(returns)
        if options.normalise_advantages:
            advantages = standardise(advantages)
        more = {"values": values.numpy(), "advantages": advantages.numpy(), "returns": returns.numpy()}
        rows = sequences(rollout, more)
        return {name: array for name, array in rows.items() if name not in ("rewards", "dones")}, explained

    def _learn(self, rows: Arrays) -> None:
        learners = max(1, self.config.num_learners)
        batches = [
            MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(share)}, share["actions"].size)
            for share in shares(rows, learners)
        ]
        results = self.learner_group.update(
            **({"batches": batches} if self.config.num_learners else {"batch": batches[0]}),
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.frames, ITERATION: self.iteration},
        )
        self.metrics.aggregate(results, key=LEARNER_RESULTS)

    def _send_weights(self) -> None:
        self.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.learner_group, policies=[DEFAULT_MODULE_ID], inference_only=True
        )

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """RLlib's state; where all of it is asked for also the counts, and where every remote runner stands."""
        state: dict[str, Any] = super().get_state(components, not_components=not_components, **kwargs)
        if components is None:
            state[OWN] = {
                "frames": self.frames,
                "lost": self.lost,
                "tally": self.tally.state(),
                "returns": self.returns.state_dict(),
                "runners": self._runner_states(),
            }
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave; remote runners go on exactly if there are as many as there were."""
        super().set_state(state)
        if OWN not in state:
            return
        own = state[OWN]
        self.frames, self.lost = own["frames"], own["lost"]
        self.tally.load(own["tally"])
        self.returns.load_state_dict(own["returns"])
        group, states = self.env_runner_group, own["runners"]
        if states and len(states) == group.num_remote_env_runners():
            group.foreach_env_runner("set_state", kwargs=[{"state": s} for s in states], local_env_runner=False)

    def _runner_states(self) -> list[dict[str, Any]]:
        group = self.env_runner_group
        if not group.num_remote_env_runners():
            return []
        found: list[dict[str, Any]] = group.foreach_env_runner(
            lambda runner: runner.get_state(not_components="rl_module"), local_env_runner=False
        )
        return sorted(found, key=lambda state: int(state["index"]))


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))  # Ray's arrays are read-only
