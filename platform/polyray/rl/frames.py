"""Input and output of an agent's policy: environments x steps as whole tensors."""

from dataclasses import dataclass

from torch import Tensor

OBJECTS, COLOURS, STATES = 11, 6, 4
"""Values of a tile's three numbers (minigrid.core.constants; doors use three states)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """B environments over T steps; cheapest where environments come in equal blocks of one task.

    Args:
        image: uint8 [B, T, 7, 7, 3], the tiles in view as minigrid gives them (object, colour, state).
        mission: uint8 [B, T, L], word numbers, padded with 0 at the end.
        fresh: bool [B, T], the step is the first of its episode; the memory is cleared before it.
        task: int64 [B], row of the router for each environment.
        memory: hidden state and cell before the first step, [B, memory] each.
    """

    image: Tensor
    mission: Tensor
    fresh: Tensor
    task: Tensor
    memory: tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outputs:
    """Output of a policy for B environments over T steps.

    Args:
        logits: of the actions, [B, T, actions].
        values: of the critic, [B, T].
        memory: hidden state and cell after the last step, [B, memory] each.
    """

    logits: Tensor
    values: Tensor
    memory: tuple[Tensor, Tensor]
