"""Success on start states that neither training nor the evaluation at the end sees, while a training goes on."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from statistics import fmean
from typing import Any

import torch
from pydantic import Field

from polyray.envs.levels import Level
from polyray.envs.starts.evaluation import evaluation_starts
from polyray.rl.evaluation import STATES, AgentEvaluationOptions, play
from polyray.rl.policy import ModularPolicy
from polyray.runs.selection import Selection

DEV_STATES = 1_000_000_021  # seed of the start states: those of a level are the same in every run
DEV_ACTIONS = 1_000_000_021  # added to a run's seed: the seed of the actions that validated episodes draw


class AgentValidationOptions(AgentEvaluationOptions):
    """Evaluation of an agent at the end, and validation while it trains."""

    every: int = Field(0, ge=0)
    """Iterations between two validations, with one more at the end of training; 0: none."""
    dev_episodes: int = Field(64, ge=1)
    """Start states of each level in a validation, which neither training nor the evaluation at the end sees."""

    def unread(self) -> Mapping[str, str]:
        """The number of episodes where none is played."""
        return {} if self.every else {"dev_episodes": "evaluation.every is 0"}


class AgentValidator:
    """The start states of a validation, drawn once, and the choice among the states of the policy that it scored.

    Attributes:
        selection: the state of the policy that ends in the skills.
        latest: score of the last validation in this process.
    """

    def __init__(
        self, levels: Sequence[Level], options: AgentValidationOptions, selection: Selection, seed: int
    ) -> None:
        """Draw the start states.

        Args:
            options: their `every` is above 0.
            seed: draws the actions.

        Raises:
            InputError: the states that the evaluation at the end takes leave none of a level's.
        """
        self.selection = selection
        self.latest: float | None = None
        self._every, self._levels, self._seed, self._sample = options.every, levels, seed, options.sample
        n_scored = max(options.episodes, options.videos)
        self._starts = [
            evaluation_starts(
                [level], options.dev_episodes, DEV_STATES, apart_from=evaluation_starts([level], n_scored, STATES)
            )
            for level in levels
        ]

    def is_due(self, iteration: int, *, at_end: bool) -> bool:
        """Whether a policy is validated after this iteration, the last one or not."""
        return at_end or iteration % self._every == 0

    def __call__(self, step: int, policy: ModularPolicy) -> dict[str, Any]:
        """Success of `policy` after `step` frames: `score`, the mean over levels, and `tasks`, that of each.

        A copy plays, so that modes and statistics of the policy that trains stay as they are.
        """
        player = deepcopy(policy).to("cpu")
        tasks = {}
        for level, starts in zip(self._levels, self._starts, strict=True):
            generator = torch.Generator().manual_seed(self._seed + DEV_ACTIONS) if self._sample else None
            tasks[level.name] = float(play(player, level, starts, generator).success.mean())
        self.latest = fmean(tasks.values())
        figures = {"score": self.latest, "tasks": tasks}
        self.selection.consider(step, figures, policy)
        return figures
