"""The work of an agent's training, and the same training cut short."""

from typing import TYPE_CHECKING, Any, Protocol

from polyray.envs.levels import levels_of
from polyray.rl.settings import AgentTrainingOptions
from polyray.rl.validation import AgentValidationOptions
from polyray.runs.workload import Amounts

if TYPE_CHECKING:  # it imports minigrid, which training without imitation does without
    from polyray.rl.imitation import CloningOptions

AT_END = 1_000_000_000  # iterations between two validations or checkpoints: there is none but the one at the end


class AgentConfig(Protocol):
    """The fields of a training of agents that its work depends on."""

    @property
    def suite(self) -> str:
        """Suite of levels."""

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of levels."""

    @property
    def training(self) -> AgentTrainingOptions:
        """Length of the training."""

    @property
    def cloning(self) -> "CloningOptions":
        """Imitation before it."""

    @property
    def evaluation(self) -> AgentValidationOptions:
        """Episodes that are scored."""


def amounts(config: AgentConfig, stride: int) -> Amounts:
    """Counts of a whole training in iterations of `stride` frames; a goal may end it earlier.

    Raises:
        InputError: a level is unknown.
    """
    n_iterations = -(-config.training.frames // stride)
    every = config.evaluation.every
    n_levels = len(levels_of(config.suite or None, config.levels))
    return Amounts(
        steps=n_iterations * stride, reports=n_iterations, validations=-(-n_iterations // every) if every else 0,
        checkpoints=-(-n_iterations // config.training.save_every), scored=n_levels * config.evaluation.episodes,
    )  # fmt: skip


def shortened(config: Any, steps: int, events: int, scored: int) -> Any:
    """The same training with so many frames, which validates and saves at its end, without imitation and tickets.

    Args:
        events: not counted: an agent reports after each iteration.
        scored: episodes of a level at the end, at most.
    """
    values = config.model_dump()
    values["training"] |= {"frames": steps, "save_every": AT_END, "goal": 0.0}
    values["evaluation"] |= {
        "every": AT_END if config.evaluation.every else 0, "episodes": min(config.evaluation.episodes, scored),
    }  # fmt: skip
    values["cloning"]["episodes"] = 0
    values["ticket"]["frames"] = 0
    return type(config).model_validate(values)


def left_out(config: AgentConfig) -> tuple[str, ...]:
    """The imitation before a training, and its early end at a goal."""
    imitation = (f"imitation of cloning.episodes={config.cloning.episodes} demonstrations of each level",)
    goal = (f"an earlier end at training.goal={config.training.goal:g}",)
    return imitation * bool(config.cloning.episodes) + goal * bool(config.training.goal)
