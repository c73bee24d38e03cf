"""An agent with skills imitates a bot on two BabyAI levels, and is scored on episodes that it has not seen.

The first run compiles the environments, for some ten seconds. The job `babyai` goes on with reinforcement learning.
"""

import sys
import tempfile
from pathlib import Path

from rich.console import Console

from polyray import LoraOptions, RoutingOptions
from polyray.envs.levels import levels_of
from polyray.modules.options import ModuleOptions
from polyray.rl.evaluation import AgentEvaluationOptions, film, score
from polyray.rl.imitation import CloningOptions, imitate
from polyray.rl.options import SMALL
from polyray.rl.settings import AgentTrainingOptions
from polyray.rl.start import fresh_policy
from polyray.runs.run import Run

LEVELS = ("GoToRedBallGrey", "GoToObjS4")
DEMONSTRATIONS, EPISODES = 400, 200  # of each level


def main() -> None:
    """Imitate, score, film one episode of each level."""
    levels = levels_of(None, LEVELS)
    routing = RoutingOptions.model_validate({"kind": "polytropon", "n_skills": 2, "sample": "task"})
    policy = fresh_policy(SMALL, LEVELS, ModuleOptions(kind="lora", options=LoraOptions(rank=4)), routing, seed=0)
    cloning = CloningOptions(episodes=DEMONSTRATIONS, epochs=8)
    evaluation = AgentEvaluationOptions(episodes=EPISODES)
    before = {level.name: score(policy, level, evaluation, seed=1) for level in levels}
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    imitate(policy, levels, cloning, AgentTrainingOptions(), Run(folder, console=Console(stderr=True)))
    after = {level.name: score(policy, level, evaluation, seed=1) for level in levels}
    for name in LEVELS:
        print(f"{name}: success {before[name]['success']:.2f} before imitation, {after[name]['success']:.2f} after")
    for level in levels:
        print("a film:", film(policy, level, 0, folder))


if __name__ == "__main__":
    main()
