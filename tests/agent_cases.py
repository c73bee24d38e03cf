"""A tiny agent on two levels."""

from typing import Any

from polyray.envs.levels import levels_of
from polyray.envs.missions import VOCABULARY
from polyray.modules.dense import DenseOptions
from polyray.modules.options import SkillOptions
from polyray.rl.blueprint import Blueprint
from polyray.rl.options import PolicyOptions
from polyray.rl.policy import build_policy
from polyray.rl.settings import ActorOptions, Agent, AgentTrainingOptions
from polyray.routing import RoutingOptions
from polyray.routing.options import LearnedOptions
from polyray.skills.spec import InventorySpec

LEVELS = ("GoToObjS4", "GoToRedBallNoDists")
ITERATION = 64  # frames of an iteration
NETWORK = PolicyOptions(
    embedding=8, channels=8, convolutions=1, blocks=1, mission=8, memory=8, hidden=8, norm="group", reader="bag"
)
SPEC = InventorySpec(
    modules=SkillOptions(kind="dense", options=DenseOptions()),
    routing=RoutingOptions(options=LearnedOptions(n_skills=3, sample="task")),
)
OPTIONS = {
    "environments": 8, "rollout": 8, "recurrence": 4, "batch": 32, "epochs": 2, "normalise_values": True,
    "frames": 1000, "seed": 2,
}  # fmt: skip


def agent_of(network: PolicyOptions = NETWORK, workers: ActorOptions | None = None, **options: Any) -> Agent:
    """A fresh agent whose iterations have 64 frames."""
    policy = build_policy(network, LEVELS, SPEC, len(VOCABULARY), seed=1)
    return Agent(
        options=AgentTrainingOptions.model_validate({**OPTIONS, **options}), policy=Blueprint.of(policy),
        levels=levels_of(None, LEVELS), workers=workers or ActorOptions(),
    )  # fmt: skip
