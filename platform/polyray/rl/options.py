"""What the policy's network looks like, and two sizes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from polyray.errors import InputError

SIDE = 7  # tiles that the agent sees to each side


@dataclass(frozen=True, kw_only=True)
class PolicyOptions:
    """Sizes and choices of the network; the defaults are those of BabyAI 1.1 (`bow_endpool_res`, Hui et al. 2020)."""

    embedding: int = 128  # width of a tile's embedding
    # A FiLM block on each tile alone before the first 3x3 convolution: a 1x1 convolution, factor and summand by the
    # mission, ReLU. What the mission speaks of is then found tile by tile.
    tile_film: bool = False
    channels: int = 128
    stride: int = 1  # of the first 3x3 convolution
    padding: int = 1  # of the first 3x3 convolution
    convolutions: int = 2  # 3x3 convolutions before the FiLM blocks
    blocks: int = 2  # FiLM blocks with a residual
    kernel: int = 3  # of the convolutions in a FiLM block
    pool: Literal["max", "none"] = "max"  # over the whole map; none: the map itself goes on, position by position
    reader: Literal["gru", "bag"] = "gru"  # of the mission; bag: the sum of its words, in no order
    mission: int = 128  # width of words and of the mission's code
    memory: int = 128  # width of the LSTM's state; 0: no memory
    hidden: int = 64  # of actor and critic
    # Normalisation after each 3x3 convolution and in FiLM blocks. "batch": as BabyAI does; in training its statistics
    # are those of the batch, so that rollout and update see different ones and PPO's ratio is not 1 at the first
    # epoch; where levels have unequally many environments, some frames count twice in them. "group" normalises each
    # frame on its own, and like "none" keeps the ratio at 1.
    norm: Literal["batch", "group", "none"] = "batch"

    def __post_init__(self) -> None:
        for name in ("embedding", "channels", "stride", "convolutions", "mission", "hidden"):
            if vars(self)[name] < 1:
                raise InputError(f"The policy's {name} is {vars(self)[name]}; it must be at least 1.")
        if self.memory < 0 or self.blocks < 0 or self.padding not in (0, 1) or self.kernel not in (1, 3):
            raise InputError(
                f"A policy has memory >= 0, blocks >= 0, padding 0 or 1 and kernel 1 or 3; "
                f"found {self.memory}, {self.blocks}, {self.padding} and {self.kernel}."
            )
        if not (self.tile_film or self.blocks):
            raise InputError("A policy needs tile_film or at least one of its blocks: there the mission comes in.")

    @property
    def side(self) -> int:
        """Width of the map after the first convolution."""
        return (SIDE + 2 * self.padding - 3) // self.stride + 1

    @property
    def features(self) -> int:
        """Numbers that a frame comes to before memory, actor and critic."""
        return self.channels if self.pool == "max" else self.channels * self.side**2


PAPER = PolicyOptions()
"""The network of the Polytropon paper: 1.2 million parameters."""

SMALL = PolicyOptions(
    embedding=32, tile_film=True, channels=32, stride=2, padding=0, convolutions=1, blocks=0, pool="none",
    mission=64, memory=0, hidden=64, norm="none",
)  # fmt: skip
"""About 80,000 parameters, without memory, made for a CPU core: tiles modulated by the mission, then nine patches of
3x3 tiles, which go to actor and critic in their places."""

PRESETS: Mapping[str, PolicyOptions] = {"paper": PAPER, "small": SMALL}
