"""One training of an agent: PPO's options, the policy, levels, and the processes that work."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from polyray.config import Section
from polyray.envs.levels import Level
from polyray.envs.missions import VOCABULARY
from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.rl.blueprint import Blueprint
from polyray.rl.options import PolicyOptions
from polyray.runs.selection import Keep

ADAM_EPS = 1e-5  # BabyAI's


class PPOOptions(Section):
    """Proximal policy optimisation as in BabyAI 1.1 (Hui et al. 2020), which the Polytropon paper follows.

    The defaults suit the small network on a CPU, the paper's are in docs/jobs/babyai.md.
    """

    environments: int = Field(256, ge=1)
    """Environments that play at once, over all runners; rounded up to equally many of every level, or with
    draw=episodes of every runner."""
    draw: Literal["frames", "episodes"] = "frames"
    """Every level plays equally many frames, or a level is drawn for every episode, each as likely, as in the paper."""
    rollout: int = Field(40, ge=1)
    """Frames that each of them plays in an iteration."""
    recurrence: int = Field(20, ge=1)
    """Frames over which gradients flow back through the memory; divides `rollout`."""
    batch: int = Field(1280, ge=1)
    """Frames of a minibatch, about: every minibatch has equally many of every level, or with
    draw=episodes as they come."""
    epochs: int = Field(4, ge=1)
    """Passes over an iteration's frames."""
    lr: float = Field(1e-3, ge=0)
    """Learning rate of the skills."""
    routing_lr: float = Field(1e-2, ge=0)
    """Learning rate of the routing: the second speed."""
    backbone_lr: float = Field(1e-3, ge=0)
    """Learning rate of the network under the skills; 0 freezes it."""
    clip: float = Field(0.2, gt=0)
    """Bound on the ratio of probabilities, and on how far a value moves in an iteration."""
    max_grad_norm: float = Field(0.5, gt=0)
    """Largest norm of the gradient of all parameters together."""
    discount: float = Field(0.99, gt=0, le=1)
    """Worth of a reward one frame later."""
    lam: float = Field(0.99, ge=0, le=1)
    """Lambda of generalised advantage estimation."""
    entropy: float = Field(0.01, ge=0)
    """Coefficient of the entropy at the start."""
    entropy_end: float = Field(0.01, ge=0)
    """Coefficient of the entropy at the end of training; linear in between."""
    value_coefficient: float = Field(0.5, ge=0)
    """Coefficient of the critic's loss."""
    reward_scale: float = Field(20.0, gt=0)
    """Rewards are multiplied by this."""
    normalise_values: bool = False
    """Let the critic learn returns with mean 0 and deviation 1."""
    normalise_advantages: bool = False
    """Advantages with mean 0 and deviation 1 over an iteration."""
    routing_noise: Literal["shared", "eval"] = "shared"
    """One draw of routing noise for every level and iteration, in acting and learning alike; or none in either."""
    window: int = Field(100, ge=1)
    """Episodes of each level over which its success rate is taken."""

    @model_validator(mode="after")
    def _pieces_fit(self) -> Self:
        if self.rollout % self.recurrence:
            raise ValueError(
                f"a rollout of {self.rollout} frames does not fall into pieces of recurrence={self.recurrence}: "
                "make rollout a multiple of recurrence"
            )
        return self


class AgentTrainingOptions(PPOOptions):
    """Length, goal and checkpoints of a training by PPO."""

    frames: int = Field(2_000_000, ge=1)
    """Frames to play, over all levels; those that a resumed run has played count."""
    goal: float = Field(0.0, ge=0, le=1)
    """Stop earlier, once the success over the last `window` episodes of a level is at least this; 0: never. Episodes
    count in the order in which they began."""
    goal_of: Literal["every", "mean"] = "every"
    """Whether every level must reach the goal, or their mean."""
    seed: int = 0
    """Seed of everything that is drawn."""
    save_every: int = Field(20, ge=1)
    """Iterations between two checkpoints; one more at the end."""
    keep: Keep = "last"
    """Which state ends in skills/: the last one, or the best one by validation score (needs evaluation.every)."""

    def entropy_after(self, frames: int) -> float:
        """The entropy's coefficient after so many frames."""
        return self.entropy + min(1.0, frames / self.frames) * (self.entropy_end - self.entropy)

    def reached(self, tasks: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether success is at the goal: in every level, or on average over them.

        A level counts once `window` of its episodes do.

        Args:
            tasks: by level, "counted" episodes and "success" over the last `window` of them (`polyray.rl.tally`).
        """
        if not self.goal or not tasks or any(level["counted"] < self.window for level in tasks.values()):
            return False
        rates = [level["success"] for level in tasks.values()]
        success: float = min(rates) if self.goal_of == "every" else sum(rates) / len(rates)
        return success >= self.goal


class ActorOptions(Section):
    """The processes that play and learn."""

    runners: int = Field(0, ge=0)
    """Remote actors that play; 0: the job's own process plays, which is fastest on one machine."""
    learners: int = Field(0, ge=0)
    """Remote actors that learn; 0: the job's own process learns."""
    gpus: float = Field(0, ge=0)
    """GPUs of each learner."""
    threads: int = Field(1, ge=1)
    """Threads of torch in the process that learns; a remote runner takes one."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device on which the job's own process plays."""


def check_draw(options: PPOOptions, network: PolicyOptions) -> None:
    """Refuse to draw levels by episode for a network that normalises over batches.

    Raises:
        InputError: as said.
    """
    if options.draw == "episodes" and network.norm == "batch":
        raise InputError(
            "training.draw=episodes fills rows of unequal levels up with repeated frames, and policy.norm=batch would "
            "take them into its statistics: set policy.norm=group or none, or training.draw=frames."
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Agent:
    """One training: a policy on some levels, by these options, in these processes.

    Attributes:
        levels: some or all of the policy's tasks.
    """

    options: AgentTrainingOptions
    policy: Blueprint
    levels: tuple[Level, ...]
    workers: ActorOptions = ActorOptions()

    @property
    def rows(self) -> NDArray[np.int64]:
        """The policy's row for each level, [levels].

        Raises:
            InputError: the policy has none for a level.
        """
        rows = {name: row for row, name in enumerate(self.policy.tasks)}
        return np.array([lookup(rows, level.name, "task of the policy") for level in self.levels], np.int64)

    @property
    def card(self) -> dict[str, Any]:
        """Levels, words and policy, which a checkpoint must agree with, as JSON has them."""
        return {
            "levels": [level.name for level in self.levels], "vocabulary": list(VOCABULARY),
            "tasks": list(self.policy.tasks), "network": self.policy.options.model_dump(mode="json"),
            "skills": self.policy.spec.model_dump(mode="json"), "draw": self.options.draw,
        }  # fmt: skip

    @property
    def environments_per_runner(self) -> int:
        """Environments of one runner, at least `environments` on all runners together.

        With draw=frames equally many of every level, else any number.
        """
        n_levels = len(self.levels) if self.options.draw == "frames" else 1
        return -(-self.options.environments // (n_levels * max(1, self.workers.runners))) * n_levels
