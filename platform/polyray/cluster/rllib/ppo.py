"""PPO on RLlib in which whole arrays flow: runners, generalised advantages, learners, figures."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ray.air.constants import TRAINING_ITERATION
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from polyray.cluster.rllib.learner import ITERATION, LOSSES
from polyray.errors import InputError, RunError
from polyray.rl.experience import sequences_of
from polyray.rl.ppo import ValueNorm
from polyray.rl.rollout import Arrays, Rollout, join, shares
from polyray.rl.settings import Agent
from polyray.rl.tally import Tally
from polyray.runs.state import load_state, save_state

T = TypeVar("T")

STATE = "training"  # in a checkpoint's folder
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
        """Tune's folder where Tune runs this; else none: RLlib would leave an empty one in the user's home."""
        if self._storage:
            super()._setup_logdir()
        else:
            self._logdir = os.devnull  # type: ignore[assignment]  # Tune begins it as None

    def training_step(self) -> None:
        """One iteration: play, learn, send the weights round."""
        started = time.perf_counter()
        rollout = self._play()
        played = time.perf_counter()
        if rollout is None:
            return
        rows, explained = sequences_of(rollout, self.agent.options, self.returns)
        learning = time.perf_counter()
        self._learn(rows)
        learned = time.perf_counter()
        self._send_weights()
        counted = self.tally.add(rollout.episodes, rollout.running, self.agent.options.rollout)
        self._figures = {
            "frames": self.frames,
            "frames_now": rollout.n_frames,
            **self.tally.figures(counted),
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
        """Rollout of all healthy runners in this iteration, None if none of them came back.

        Raises:
            RunError: none came back, for the `PATIENCE`-th time in a row.
        """
        group, iteration = self.env_runner_group, self.iteration
        healthy = group.num_healthy_remote_env_runners()
        rollouts = self._ask(lambda runner: runner.sample(iteration))
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
        """Send the learners' weights to all runners.

        RLlib has one such request under way for each runner and drops another silently; without a limit of time it
        first waits for the last one to end.
        """
        self.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.learner_group, policies=[DEFAULT_MODULE_ID], inference_only=True,
            timeout_seconds=None,
        )  # fmt: skip

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write all that the rest of the training depends on into the folder, without pickle."""
        learners = self.learner_group.foreach_learner(lambda learner: learner.learning_state())
        state = {
            "agent": self.agent.card, "iteration": self.iteration, "frames": self.frames, "lost": self.lost,
            "tally": self.tally.state(), "returns": dict(self.returns.state_dict()),
            "learner": next(iter(learners)).get(), "runners": self._ask(lambda runner: runner.playing_state()),
        }  # fmt: skip
        save_state(Path(checkpoint_dir) / STATE, state)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Go on from the folder that `save_checkpoint` filled, exactly if there are as many runners as there were.

        Raises:
            InputError: the checkpoint has other levels, words or another policy.
        """
        state = load_state(Path(checkpoint) / STATE)
        self._check_card(state["agent"], checkpoint)
        self.set_state({TRAINING_ITERATION: state["iteration"]})
        self.frames, self.lost = state["frames"], state["lost"]
        self.tally.load(state["tally"])
        self.returns.load_state_dict(state["returns"])
        learner = state["learner"]
        for result in self.learner_group.foreach_learner(lambda each: each.load_learning_state(learner)):
            result.get()  # raises where one failed
        self._send_weights()
        self._load_runners(sorted(state["runners"], key=lambda runner: int(runner["index"])))

    def _load_runners(self, states: Sequence[Mapping[str, Any]]) -> None:
        group = self.env_runner_group
        remote = group.num_remote_env_runners()
        if len(states) != max(1, remote):
            return
        if remote:
            group.foreach_env_runner(
                "load_playing_state", kwargs=[{"state": state} for state in states], local_env_runner=False
            )
        else:
            group.local_env_runner.load_playing_state(states[0])

    def _check_card(self, card: Mapping[str, Any], folder: Any) -> None:
        for name, value in self.agent.card.items():
            if card.get(name) != value:
                raise InputError(
                    f"The checkpoint {folder} does not fit: its {name} is {_short(card.get(name))}, this run's is "
                    f"{_short(value)}. Start a new run, or set the options that the checkpoint was made with."
                )

    def _ask(self, question: Callable[[Any], T]) -> list[T]:
        """The answers of all runners that play: the remote ones, or the only one, in this process."""
        group = self.env_runner_group
        if not group.num_remote_env_runners():
            return [question(group.local_env_runner)]
        answers: list[T] = group.foreach_env_runner(question, local_env_runner=False)
        return answers


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
