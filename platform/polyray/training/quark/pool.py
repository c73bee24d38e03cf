"""The pool of responses with their rewards, and the order in which training sees them."""

from collections.abc import Mapping, Sequence
from typing import Any

from polyray.decoding.quark import quantiles
from polyray.training.sampler import Sampler


class RewardPool:
    """Responses of all rounds so far; with each round all are sorted into quantiles of reward anew.

    Attributes:
        n_drawn: batches that were drawn since the beginning.
        means: the mean reward of each round.
    """

    def __init__(self, n_quantiles: int, batch: int, seed: int) -> None:
        self._n_quantiles, self._batch, self._seed = n_quantiles, batch, seed
        self.n_drawn = 0
        self.means: list[float] = []
        self._prompts: list[int] = []
        self._responses: list[str] = []
        self._rewards: list[float] = []
        self._sort()

    def add(self, prompts: Sequence[int], responses: Sequence[str], rewards: Sequence[float]) -> None:
        """Add the responses of a round to the inputs with these numbers."""
        self._prompts += prompts
        self._responses += responses
        self._rewards += rewards
        self.means.append(sum(rewards) / len(rewards))
        self._sort()

    def draw(self) -> list[tuple[int, str, int]]:
        """The next batch: input, response and quantile of each."""
        self.n_drawn += 1
        rows = [row for _, row in self._sampler.draw()]
        return [(self._prompts[row], self._responses[row], self._quantiles[row]) for row in rows]

    def _sort(self) -> None:
        self._quantiles = quantiles(self._rewards, self._n_quantiles)
        n_rounds = len(self.means)
        self._sampler = Sampler([max(1, len(self._rewards))], self._batch, 1.0, self._seed + n_rounds)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on from here."""
        return {
            "n_drawn": self.n_drawn, "means": self.means, "prompts": self._prompts, "responses": self._responses,
            "rewards": self._rewards, "sampler": self._sampler.state(),
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.n_drawn, self.means = state["n_drawn"], list(state["means"])
        self._prompts, self._responses = list(state["prompts"]), list(state["responses"])
        self._rewards = list(state["rewards"])
        self._sort()
        self._sampler.restore(state["sampler"])
