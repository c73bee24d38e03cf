"""RL environments: BabyAI's levels, one at a time or thousands in a batch.

Importing this package registers every level with gymnasium as "polyray/BabyAI-<level>-v0".
"""

import gymnasium

from polyray.envs.levels import LEVELS

for _level in LEVELS.values():
    if f"polyray/{_level.env_id}" not in gymnasium.registry:
        gymnasium.register(
            id=f"polyray/{_level.env_id}",
            entry_point="polyray.envs.minigrid.single:BabyAIEnv",
            vector_entry_point="polyray.envs.minigrid.vector:BabyAIVectorEnv",
            kwargs={"level": _level.name},
        )
