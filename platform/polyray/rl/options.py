"""Sizes and choices of the policy's network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from pydantic import Field, model_validator

from polyray.config import Choice, Section

SIDE = 7  # tiles that the agent sees to each side


class PolicyOptions(Section):
    """Sizes and choices of the network; the defaults are those of BabyAI 1.1 (`bow_endpool_res`, Hui et al. 2020)."""

    embedding: int = Field(128, ge=1)
    """Width of a tile's embedding."""
    tile_film: bool = False
    """A FiLM block on each tile alone before the first 3x3 convolution: a 1x1 convolution, factor and summand by the
    mission, ReLU. Objects that the mission speaks of are then recognised tile by tile."""
    channels: int = Field(128, ge=1)
    """Channels of the convolutions."""
    stride: int = Field(1, ge=1)
    """Stride of the first 3x3 convolution."""
    padding: Literal[0, 1] = 1
    """Padding of the first 3x3 convolution."""
    convolutions: int = Field(2, ge=1)
    """3x3 convolutions before the FiLM blocks."""
    blocks: int = Field(2, ge=0)
    """FiLM blocks with a residual connection."""
    kernel: Literal[1, 3] = 3
    """Width of the kernels in a FiLM block."""
    pool: Literal["max", "none"] = "max"
    """Max-pooling over the whole map, or none: all positions of the map go on, side by side."""
    reader: Literal["gru", "bag"] = "gru"
    """The mission is read word by word by a GRU, or as a bag of words."""
    mission: int = Field(128, ge=1)
    """Width of words and of the mission's code."""
    memory: int = Field(128, ge=0)
    """Width of the LSTM's state; 0: no memory."""
    hidden: int = Field(64, ge=1)
    """Width of the hidden layers of actor and critic."""
    norm: Literal["batch", "group", "none"] = "batch"
    """Normalisation after each 3x3 convolution and in FiLM blocks. batch is BabyAI's: in training its statistics are
    those of the batch, so that rollout and update see different ones and PPO's ratio differs from 1 at the first epoch;
    group normalises each frame on its own and, like none, keeps the ratio at 1."""

    @model_validator(mode="after")
    def _mission_comes_in(self) -> Self:
        if not (self.tile_film or self.blocks):
            raise ValueError("a policy needs tile_film or at least one of its blocks: there the mission comes in")
        return self

    @property
    def side(self) -> int:
        """Width of the map after the first convolution."""
        return (SIDE + 2 * self.padding - 3) // self.stride + 1

    @property
    def features(self) -> int:
        """Numbers that a frame amounts to before memory, actor and critic."""
        return self.channels if self.pool == "max" else self.channels * self.side**2


class SmallPolicyOptions(PolicyOptions):
    """About 80,000 parameters, without memory, made for a CPU core.

    Tiles are modulated by the mission, then nine patches of 3x3 tiles go to actor and critic side by side.
    """

    embedding: int = Field(32, ge=1)
    """Width of a tile's embedding."""
    tile_film: bool = True
    """A FiLM block on each tile alone before the first 3x3 convolution."""
    channels: int = Field(32, ge=1)
    """Channels of the convolutions."""
    stride: int = Field(2, ge=1)
    """Stride of the first 3x3 convolution."""
    padding: Literal[0, 1] = 0
    """Padding of the first 3x3 convolution."""
    convolutions: int = Field(1, ge=1)
    """3x3 convolutions before the FiLM blocks."""
    blocks: int = Field(0, ge=0)
    """FiLM blocks with a residual connection."""
    pool: Literal["max", "none"] = "none"
    """Max-pooling over the whole map, or none: all positions of the map go on, side by side."""
    mission: int = Field(64, ge=1)
    """Width of words and of the mission's code."""
    memory: int = Field(0, ge=0)
    """Width of the LSTM's state; 0: no memory."""
    norm: Literal["batch", "group", "none"] = "none"
    """Normalisation after each 3x3 convolution and in FiLM blocks."""


PAPER = PolicyOptions()
"""The network of the Polytropon paper: 1.2 million parameters."""

SMALL = SmallPolicyOptions()


@dataclass(frozen=True, kw_only=True)
class PolicySize:
    """A size of the policy's network: the options with their defaults."""

    about: str
    Options: type[PolicyOptions]


POLICIES: Mapping[str, PolicySize] = {
    "small": PolicySize(about="about 80,000 parameters without memory, for a CPU core", Options=SmallPolicyOptions),
    "paper": PolicySize(about="BabyAI 1.1's network as in the paper, with memory", Options=PolicyOptions),
}


class PolicyChoice(Choice):
    """The network under an agent's skills."""

    table = POLICIES
    noun = "policy"

    kind: str = "small"
    """small: about 80,000 parameters without memory, for a CPU core; paper: BabyAI 1.1's network, with memory."""


class LearningRates(Protocol):
    """The learning rates of the three groups of parameters."""

    @property
    def lr(self) -> float:
        """Learning rate of the skills."""

    @property
    def routing_lr(self) -> float:
        """Learning rate of the allocation logits."""

    @property
    def backbone_lr(self) -> float:
        """Learning rate of all else; 0: it is frozen."""
