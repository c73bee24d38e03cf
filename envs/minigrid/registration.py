"""Levels of one's own: subclasses of minigrid's RoomGridLevel that the engine plays exactly as minigrid does."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium
from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel

from polyray.envs.engine.state import NOWHERE, empty
from polyray.envs.engine.validity import first_fault
from polyray.envs.levels import ABOUT, LEVELS, MINIGRID_IDS, Level, about
from polyray.envs.starts.reference import begin, minigrid_environment
from polyray.errors import InputError

TRIES = 32  # start states that are looked at when a level is registered
# Methods that decide what a step does and what the agent sees, which the engine has in compiled form.
DYNAMICS = (
    *("step", "_reward", "update_objs_poss", "gen_obs", "gen_obs_grid", "get_view_exts", "dir_vec", "front_pos"),
)


def register(
    name: str, source: Any, *, competencies: tuple[str, ...], options: Mapping[str, Any], module: str
) -> Level:
    """Register a level: see `polyray.envs.register_level`.

    Args:
        module: the module whose import registers the level.

    Raises:
        InputError: the name is one of BabyAI's or impossible, or the level is none that the engine plays exactly.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise InputError(f"The name of a level has letters, digits, '_' and '-'; {name!r} has others.")
    if name in LEVELS and LEVELS[name].env_id in MINIGRID_IDS:
        raise InputError(f"{name!r} is a level of BabyAI; give the level of your own another name.")
    level = _measured(name, _gymnasium_id(name, source, options), competencies)
    if module != "__main__":
        level = replace(level, env_id=f"{module}:{level.env_id}")
    LEVELS[name], ABOUT[name] = level, about(level)
    gymnasium.registry.pop(f"polyray/{name}-v0", None)
    gymnasium.register(
        id=f"polyray/{name}-v0",
        entry_point="polyray.envs.minigrid.single:BabyAIEnv",
        vector_entry_point="polyray.envs.minigrid.vector:BabyAIVectorEnv",
        kwargs={"level": name},
    )
    return level


def _gymnasium_id(name: str, source: Any, options: Mapping[str, Any]) -> str:
    """The id by which gymnasium makes minigrid's environment of the level."""
    if isinstance(source, str):
        if options:
            raise InputError(f"The id {source!r} stands for its arguments too; {', '.join(options)} go with a class.")
        if source not in gymnasium.registry:
            raise InputError(f"Nobody has registered {source!r} with gymnasium.")
        return source
    if not (isinstance(source, type) and issubclass(source, RoomGridLevel)):
        raise InputError(f"A level is a subclass of minigrid's RoomGridLevel or the id of one, not {source!r}.")
    env_id = f"level/{name}-v0"
    gymnasium.registry.pop(env_id, None)
    gymnasium.register(id=env_id, entry_point=source, kwargs=dict(options))
    return env_id


def _measured(name: str, env_id: str, competencies: tuple[str, ...]) -> Level:
    """The level with the size and the largest step limit of some start states, all of which the engine can play."""
    made: Any = gymnasium.make(env_id, disable_env_checker=True).unwrapped
    size = {axis: getattr(made, axis, 0) for axis in ("width", "height")}
    level = Level(name=name, env_id=env_id, max_steps=1, competencies=tuple(competencies), rooms=1, **size)
    environment = minigrid_environment(level)
    kind = type(environment)
    changed = [method for method in DYNAMICS if getattr(kind, method) is not getattr(RoomGridLevel, method)]
    if changed:
        raise InputError(
            f"{kind.__name__} has a {changed[0]} of its own, and the engine plays minigrid's. A level of "
            "your own may change how it is made (gen_mission), not how it is played."
        )
    if max(size.values()) >= NOWHERE:
        raise InputError(f"The level {name!r} is {level.width}x{level.height} tiles; less than {NOWHERE} are possible.")
    limits, state = list[int](), empty(1, level.height, level.width)
    for seed in range(TRIES):
        begin(environment, state, 0, seed)
        limits.append(int(state.limit[0]))
        if fault := first_fault(state):
            raise InputError(f"The level {name!r} cannot be played: with seed {seed} {fault}.")
    rooms = environment.num_rows * environment.num_cols
    return replace(level, max_steps=max(limits), rooms=rooms)
