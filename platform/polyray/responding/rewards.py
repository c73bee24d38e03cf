"""Rewards of responses for Quark: metrics, and the critic that a network is."""

from collections.abc import Mapping, Sequence
from typing import Any

from polyray.judges.bertscore import BertScoreOptions
from polyray.judges.critic import CriticOptions
from polyray.judges.options import ScoreResponsesOptions
from polyray.judges.responses import ResponseScorer
from polyray.objectives import TextOptions
from polyray.runs.run import Run
from polyray.tasks import DialogueExample, TasksOptions
from polyray.training.quark.batches import Reward
from polyray.training.quark.recipe import QuarkRecipe
from polyray.training.quark.training import train_quark
from polyray.training.tuning.table import MethodOptions
from polyray.training.worker import Worker

LOWER_IS_BETTER = frozenset({"Critic", "Critic-P"})
"""Metrics of which the negative is the reward."""


class RewardedRecipe(QuarkRecipe):
    """Train one skill by Quark on responses that it draws itself, sorted by their reward."""

    suite: str = "dstc11"
    """Family of dialogues: see `polyray list tasks`."""
    tasks: TasksOptions = TasksOptions(kind="dstc11")
    """Where they are, and which responses to learn."""
    backbone: str = "tiny-causal"
    """Network under the skill: tiny-seq2seq, tiny-causal, a folder, or a name on the Hugging Face Hub."""
    text: TextOptions = TextOptions(max_input=640, too_long="truncate")
    """Lengths of texts."""
    method: MethodOptions = MethodOptions(kind="full")
    """Method that trains the skill, in one phase."""
    critic: CriticOptions = CriticOptions()
    """Critic behind the rewards Critic and Critic-P, whose lower values are better."""
    bertscore: BertScoreOptions = BertScoreOptions()
    """Encoder behind the rewards BERTScore and BERT-F1."""

    def scoring(self) -> ScoreResponsesOptions:
        """The options of the metric that rewards."""
        return ScoreResponsesOptions(metrics=(self.quark.reward,), critic=self.critic, bertscore=self.bertscore)


def rewarding(recipe: RewardedRecipe) -> Reward:
    """The reward of the recipe, its network loaded.

    Raises:
        InputError: there is no such metric, or its network cannot be loaded.
    """
    name = recipe.quark.reward
    scorer, sign = ResponseScorer(recipe.scoring()), -1.0 if name in LOWER_IS_BETTER else 1.0

    def reward(responses: Sequence[str], examples: Sequence[DialogueExample]) -> list[float]:
        values: list[float] = (sign * scorer(responses, examples).measurements[name].values).tolist()
        return values

    return reward


def train(values: Mapping[str, Any], run: Run, worker: Worker) -> dict[str, Any]:
    """Train by Quark on every worker of a group; see `train_quark`.

    Args:
        values: a `RewardedRecipe` as plain data.

    Raises:
        InputError, Interrupted: as there.
    """
    recipe = RewardedRecipe.model_validate(values)
    return train_quark(recipe, run, worker, rewarding(recipe))
