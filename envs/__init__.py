"""RL environments: BabyAI's levels, one at a time or thousands in a batch.

Importing this package registers every level with gymnasium as "polyray/BabyAI-<level>-v0".
"""

import sys
from typing import Any

import gymnasium

from polyray.envs.levels import LEVELS, Level

for _level in LEVELS.values():
    if f"polyray/{_level.env_id}" not in gymnasium.registry:
        gymnasium.register(
            id=f"polyray/{_level.env_id}",
            entry_point="polyray.envs.minigrid.single:BabyAIEnv",
            vector_entry_point="polyray.envs.minigrid.vector:BabyAIVectorEnv",
            kwargs={"level": _level.name},
        )


def register_level(name: str, source: Any, *, competencies: tuple[str, ...] = (), **options: Any) -> Level:
    """Register a level of one's own: `gymnasium.make("polyray/NAME-v0")`, make_vec, and jobs with `levels=[NAME]`.

    The engine plays it exactly as minigrid does; start states come from minigrid, which takes it milliseconds. A job's
    workers import the module that calls this, which the environment variable POLYRAY_LEVELS names for the command line.

    Args:
        name: letters, digits, "_" and "-"; a level of one's own may be registered anew.
        source: a subclass of minigrid's RoomGridLevel, or the id of one that is registered with gymnasium.
        competencies: words that `polyray list levels` shows.
        options: arguments of the class, such as room_size or max_steps.

    Raises:
        InputError: the name is one of BabyAI's or impossible, or the level is none that the engine plays exactly.
    """
    from polyray.envs.minigrid.registration import register  # noqa: PLC0415  (loads minigrid and numba)

    module = str(sys._getframe(1).f_globals["__name__"])  # as collections.namedtuple finds it
    return register(name, source, competencies=competencies, options=options, module=module)
