"""Three learning rates of agents: of the skills, of the routing, and of the network under them."""

from polyray.sweeps.fields import LogUniform
from polyray.sweeps.space import Goal, Space

AGENT_SPEED = Space(
    about="the learning rates of agents' skills, routing and network",
    job="babyai",
    goal=Goal("validation.score"),
    searcher="tpe",
    settings={"evaluation.every": 20},
    fields={
        "training.lr": LogUniform(1e-4, 1e-2, about="Learning rate of the skills; the paper has 1e-4."),
        "training.routing_lr": LogUniform(1e-4, 1e-1, about="Learning rate of the routing."),
        "training.backbone_lr": LogUniform(1e-4, 1e-2, about="Learning rate of the network under the skills."),
    },
)
