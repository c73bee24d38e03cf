"""What an agent's training is made of: how PPO runs, which policy it trains, and where.

Nothing here imports Ray, so that a job's config can hold these before a cluster is there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from polyray.envs.levels import Level
from polyray.envs.missions import VOCABULARY
from polyray.envs.starts.resumable import ResumableStarts
from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.modules.options import ModuleOptions
from polyray.rl.policy import ModularPolicy, PolicyOptions, build_policy
from polyray.rl.policy_folder import load_policy
from polyray.routing import RoutingOptions
from polyray.routing.prior import IbpOptions
from polyray.training.optimizers import OptimizerOptions


@dataclass(frozen=True, kw_only=True)
class PPOSettings:
    """Proximal policy optimisation as in BabyAI 1.1 (Hui et al. 2020), which the Polytropon paper follows."""

    environments: int = 64  # at least as many; rounded up so that every task has equally many on every runner
    rollout: int = 40  # frames that every environment plays in an iteration
    recurrence: int = 20  # frames over which gradients flow back through the memory; divides `rollout`
    batch: int = 1280  # frames of a minibatch, about: every minibatch has equally many of every task
    epochs: int = 4  # passes over an iteration's frames
    lr: float = 1e-4  # skills
    routing_lr: float = 1e-2  # allocation logits: dual speed
    backbone_lr: float = 1e-4  # 0: the backbone is frozen
    adam_eps: float = 1e-5
    max_grad_norm: float = 0.5  # of all parameters together
    discount: float = 0.99
    lam: float = 0.99  # of generalised advantage estimation
    clip: float = 0.2  # of the probability ratio, and of how far a value moves in an iteration
    value_coefficient: float = 0.5
    entropy: float = 0.01  # coefficient of the entropy at the start
    entropy_end: float = 0.01  # and after `entropy_frames`; linear in between
    entropy_frames: int = 0  # 0: `entropy` throughout
    reward_scale: float = 20.0
    normalise_values: bool = False  # the critic learns returns with mean 0 and deviation 1
    normalise_advantages: bool = False  # over an iteration's frames
    ibp: IbpOptions = field(default_factory=IbpOptions)
    # "shared": one draw of routing noise for every task and iteration, the same for behaviour and update.
    # "eval": no routing noise at all, neither while acting nor in the update: the mix is that of evaluation.
    routing_noise: Literal["shared", "eval"] = "shared"
    window: int = 100  # episodes of a level over which its success rate is taken
    threads: int = 1  # of torch in the process that learns; a remote runner takes one

    def __post_init__(self) -> None:
        if self.rollout % self.recurrence:
            raise InputError(
                f"A rollout of {self.rollout} frames does not fall into pieces of {self.recurrence}: "
                f"make `rollout` a multiple of `recurrence`."
            )
        for name in ("environments", "batch", "epochs", "window"):
            if vars(self)[name] < 1:
                raise InputError(f"`{name}` is {vars(self)[name]}; it must be at least 1.")

    @property
    def speeds(self) -> OptimizerOptions:
        """The learning rates of the three groups of parameters."""
        return OptimizerOptions(
            lr=self.lr, routing_lr=self.routing_lr, backbone_lr=self.backbone_lr, weight_decay=0.0,
            clip=self.max_grad_norm,
        )  # fmt: skip

    @property
    def entropy_schedule(self) -> Any:
        """The coefficient of the entropy as RLlib takes it: a number, or pairs [frames, number]."""
        if not self.entropy_frames:
            return self.entropy
        return [[0, self.entropy], [self.entropy_frames, self.entropy_end]]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that `build_policy` needs, so that every process builds the same policy."""

    options: PolicyOptions
    tasks: tuple[str, ...]  # rows of the allocation by name; the levels that are played are among them
    modules_kind: str
    module_options: ModuleOptions
    routing_kind: str
    routing_options: RoutingOptions
    n_words: int  # size of the vocabulary
    seed: int
    start: str = ""  # folder of a saved policy to begin with; empty: `seed` draws the weights

    @classmethod
    def of(cls, policy: ModularPolicy, start: Path) -> "Recipe":
        """A recipe that begins with `policy`, which `save_policy` wrote to the folder `start`."""
        form = policy.form
        return cls(
            options=form.options, tasks=policy.router.tasks.names, modules_kind=form.module,
            module_options=form.modules, routing_kind=form.routing, routing_options=form.router, n_words=form.n_words,
            seed=0, start=str(start),
        )  # fmt: skip

    def build(self) -> ModularPolicy:
        """The policy.

        Raises:
            InputError: the folder `start` holds none, or one that reads another vocabulary.
        """
        if self.start:
            return load_policy(Path(self.start), VOCABULARY).train()
        return build_policy(
            self.options, self.tasks, self.modules_kind, self.module_options, self.routing_kind, self.routing_options,
            self.n_words, self.seed,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the work is done."""

    runners: int = 0  # remote actors that play; 0: this process plays
    learners: int = 0  # remote actors that learn; 0: this process learns
    gpus: float = 0  # of each learner
    device: str = "cpu"  # on which this process plays, when it does ("cuda")


def environments_per_runner(settings: PPOSettings, n_tasks: int, places: Places) -> int:
    """Environments of one runner: the same number of every task, at least `settings.environments` on all runners."""
    share = n_tasks * max(1, places.runners)
    return -(-settings.environments // share) * n_tasks


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One training: what is trained on which levels, how and where."""

    settings: PPOSettings
    recipe: Recipe
    levels: tuple[Level, ...]  # some or all of the recipe's tasks
    starts: Callable[[Sequence[Level], int], ResumableStarts]  # levels and a seed -> where start states come from
    seed: int
    places: Places

    @property
    def tasks(self) -> NDArray[np.int64]:
        """The policy's row for each level, [levels].

        Raises:
            InputError: the policy has none for a level.
        """
        rows = {name: row for row, name in enumerate(self.recipe.tasks)}
        return np.array([lookup(rows, level.name, "task of the policy") for level in self.levels], np.int64)
