"""Attributes of minigrid's environments: those that can be read here, and those that can also be written."""

from collections.abc import Callable, Mapping
from typing import Any

from polyray.envs.engine.state import State
from polyray.envs.engine.validity import can_be_entered
from polyray.envs.levels import Level
from polyray.envs.minigrid.keywords import whole_number
from polyray.envs.minigrid.world import NOT_CHANGED
from polyray.errors import InputError

# Read from the environment's `World`: the episode, geometry of the view, observations and pictures.
READABLE = frozenset(
    {
        *("agent_pos", "agent_dir", "carrying", "grid", "step_count", "max_steps", "steps_remaining", "hash"),
        *("dir_vec", "right_vec", "front_pos", "get_view_coords", "get_view_exts", "relative_coords", "in_view"),
        *("agent_sees", "gen_obs", "gen_obs_grid", "get_frame", "get_full_render", "get_pov_render", "pprint_grid"),
    }
)

OFFER = f"It has {', '.join(sorted(READABLE))}; `env.state` is the engine's own state."
BEFORE_RESET = ("agent_pos", "agent_dir", "carrying")  # None before the first reset, as in minigrid


def _stand(state: State, level: Level, position: Any) -> None:
    """Put the agent on a cell that it can enter."""
    x, y = (whole_number("agent_pos", coordinate, least=0) for coordinate in position)
    if x >= level.width or y >= level.height:
        raise InputError(f"agent_pos={(x, y)} is outside the grid of {level.width}x{level.height} cells.")
    if not can_be_entered(state.looks[0], state.grid[0, y, x]):
        raise InputError(f"The agent cannot stand at agent_pos={(x, y)}: the cell is not free.")
    state.x[0], state.y[0] = x, y


def _turn(state: State, level: Level, direction: Any) -> None:
    direction = whole_number("agent_dir", direction, least=0)
    if direction > 3:
        raise InputError(f"agent_dir is 0 (right), 1 (down), 2 (left) or 3 (up), not {direction}.")
    state.direction[0] = direction


def _count(state: State, level: Level, steps: Any) -> None:
    state.steps[0] = whole_number("step_count", steps, least=0)


def _limit(state: State, level: Level, steps: Any) -> None:
    state.limit[0] = whole_number("max_steps", steps, least=1)


WRITABLE: Mapping[str, Callable[[State, Level, Any], None]] = {
    "agent_pos": _stand, "agent_dir": _turn, "step_count": _count, "max_steps": _limit
}  # fmt: skip


def write(state: State, level: Level, name: str, value: Any) -> None:
    """Write one of minigrid's attributes into the engine's state, of one environment.

    Raises:
        InputError: the attribute cannot be written, or the value makes no sense.
    """
    if name not in WRITABLE:
        raise InputError(f"{name} cannot be set. {NOT_CHANGED}")
    WRITABLE[name](state, level, value)
