"""Interface of the group of processes in which training runs, and the group of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn


class Worker(Protocol):
    """One member of a group of processes that train together."""

    @property
    def rank(self) -> int:
        """Number of this member, from 0."""

    @property
    def world(self) -> int:
        """Number of members."""

    @property
    def device(self) -> torch.device:
        """Device on which this member computes."""

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model whose backward() averages gradients over the group (DDP); itself where it is alone."""

    def mean(self, value: float) -> float:
        """The mean of a number over the group."""

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Make every gradient its mean over the group, all in one exchange."""

    def gather(self, value: Any) -> list[Any]:
        """The objects of all members, by rank, at every member."""


def own_device() -> str:
    """The GPU that this process was given, else the CPU; Ray shows a task its own GPUs and no others."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Alone:
    """The only member, in this process."""

    device: torch.device = torch.device("cpu")
    rank: int = 0
    world: int = 1

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model itself."""
        return model

    def mean(self, value: float) -> float:
        """The number itself."""
        return value

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Leave the gradients as they are."""

    def gather(self, value: Any) -> list[Any]:
        """The one object."""
        return [value]
