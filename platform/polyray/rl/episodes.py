"""Episodes of a batch of environments, those that ended and those under way."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """Episodes, ended or under way: each array [episodes].

    `started` and `environment` give the order in which episodes began: by step, then by environment. That order says
    nothing about how an episode went, while the order in which they end does: what fails runs into the step limit and
    ends late.
    """

    task: NDArray[np.int64]  # number of the level
    reward: NDArray[np.float32]  # sum of the rewards so far, as minigrid gives them; success is a reward above 0
    length: NDArray[np.int64]  # frames so far
    started: NDArray[np.int64]  # step of the rollout before the first frame; negative: in an earlier rollout
    environment: NDArray[np.int64]  # number of the environment among all that play

    @classmethod
    def join(cls, batches: Sequence[Self]) -> Self:
        """Episodes of all batches, one batch after the other; at least one batch."""
        return cls(**{f.name: np.concatenate([vars(batch)[f.name] for batch in batches]) for f in fields(cls)})

    @classmethod
    def none(cls) -> Self:
        """No episodes."""
        counts = np.zeros(0, np.int64)
        return cls(task=counts, reward=np.zeros(0, np.float32), length=counts, started=counts, environment=counts)

    def __len__(self) -> int:
        return len(self.task)

    def at(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """The episodes that a mask or indices choose."""
        return type(self)(**{f.name: vars(self)[f.name][chosen] for f in fields(self)})

    def moved(self, steps: int = 0, environments: int = 0) -> Self:
        """The same with later numbers of steps and environments."""
        numbers = {"started": self.started + steps, "environment": self.environment + environments}
        return type(self)(**{**vars(self), **numbers})

    @property
    def order(self) -> NDArray[np.int64]:
        """Place of each in the order in which they began: a number that grows with it."""
        return (self.started << 32) + self.environment
