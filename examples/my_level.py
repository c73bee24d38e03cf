"""A level of one's own: registered, then played in a batch, exactly as minigrid plays it.

`PYTHONPATH=examples POLYRAY_LEVELS=my_level polyray run babyai levels=[PickUpRedBall]` trains an agent on it.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv
from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel
from minigrid.envs.babyai.core.verifier import ObjDesc, PickupInstr

from polyray.envs import register_level
from polyray.envs.missions import decode

N, STEPS = 4, 300


class PickUpRedBall(RoomGridLevel):
    """One room with a red ball to pick up, among other objects."""

    def __init__(self, n_distractors: int = 3, **options: Any) -> None:
        self.n_distractors = n_distractors
        super().__init__(room_size=6, num_rows=1, num_cols=1, **options)

    def gen_mission(self) -> None:
        """Draw objects, agent and instruction, with minigrid's methods."""
        self.place_agent()
        self.add_object(0, 0, "ball", "red")
        self.add_distractors(num_distractors=self.n_distractors, all_unique=False)
        self.check_objs_reachable()
        self.instrs = PickupInstr(ObjDesc("ball", "red"))


LEVEL = register_level("PickUpRedBall", PickUpRedBall, competencies=("room", "pickup"), n_distractors=2)


def main() -> None:
    """Play the level in a batch and in minigrid's environments, and compare every step."""
    batch = gymnasium.make_vec("polyray/PickUpRedBall-v0", num_envs=N)
    minigrids: Any = SyncVectorEnv([lambda: PickUpRedBall(n_distractors=2)] * N)
    ours, theirs = batch.reset(seed=0)[0], minigrids.reset(seed=0)[0]
    actions, n_equal, n_solved = np.random.default_rng(0), 0, 0
    for _ in range(STEPS):
        missions = [decode(numbers) for numbers in ours["mission"]]
        same = np.array_equal(ours["image"], theirs["image"]) and missions == list(theirs["mission"])
        chosen = actions.choice(7, N, p=(0.15, 0.15, 0.35, 0.3, 0.05, 0, 0))
        (ours, rewards, *ends, _), (theirs, their_rewards, *their_ends, _) = batch.step(chosen), minigrids.step(chosen)
        n_equal += same and np.array_equal(ends, their_ends) and np.allclose(rewards, their_rewards, atol=1e-6)
        n_solved += int((rewards > 0).sum())
    print(f"{LEVEL.width} x {LEVEL.height} tiles, at most {LEVEL.max_steps} steps")
    print(f"{n_equal} of {STEPS} steps equal minigrid's; {n_solved} episodes were solved by chance")


if __name__ == "__main__":
    main()
