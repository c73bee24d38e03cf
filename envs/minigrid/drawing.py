"""Pictures of the batched environments, pixel by pixel those that minigrid draws."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.state import State
from polyray.envs.levels import Level
from polyray.envs.minigrid.world import World


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How to draw; the names and defaults are minigrid's."""

    tile_size: int = 32  # pixels along a cell
    highlight: bool = True  # the cells that the agent sees are lighter
    agent_pov: bool = False  # draw what the agent sees instead of the whole grid


def draw(state: State, row: int, level: Level, drawing: Drawing) -> NDArray[np.uint8]:
    """The picture [height * tile_size, width * tile_size, 3] of row `row` of `state`, an environment of `level`."""
    return draw_world(World(state, row, level), drawing)


def draw_world(world: World, drawing: Drawing) -> NDArray[np.uint8]:
    """The picture of what `world` saw when it last looked."""
    frame: NDArray[np.uint8] = world.get_frame(drawing.highlight, drawing.tile_size, drawing.agent_pov)
    return frame
