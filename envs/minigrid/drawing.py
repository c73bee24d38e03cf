"""Pictures of environments, equal pixel by pixel to those of minigrid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.state import State
from polyray.envs.levels import Level
from polyray.envs.minigrid.world import World


@dataclass(frozen=True)
class Drawing:
    """Options of a picture; names and defaults are minigrid's."""

    tile_size: int = 32  # pixels along a cell
    highlight: bool = True  # the cells that the agent sees are lighter
    agent_pov: bool = False  # draw what the agent sees instead of the whole grid


def draw(state: State, row: int, level: Level, drawing: Drawing) -> NDArray[np.uint8]:
    """Picture of row `row` of `state`, an environment of `level`, [height * tile_size, width * tile_size, 3]."""
    return draw_world(World(state, row, level), drawing)


def draw_world(world: World, drawing: Drawing) -> NDArray[np.uint8]:
    """Picture of `world` as it was at its last `look`, [height * tile_size, width * tile_size, 3]."""
    frame: NDArray[np.uint8] = world.get_frame(drawing.highlight, drawing.tile_size, drawing.agent_pov)
    return frame
