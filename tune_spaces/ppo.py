"""Agents that learn with PPO: their speeds, PPO's own options, and how their levels share skills."""

from polyray.sweeps.fields import Grid, IntRange, LogIntRange, LogUniform, OneOf, Uniform
from polyray.sweeps.space import Goal, Space

PPO = Space(
    about="how fast agents learn with PPO, and how their levels share skills",
    job="babyai",
    goal=Goal("validation.score"),
    searcher="tpe",
    settings={"evaluation.every": 20},
    fields={
        "training.lr": LogUniform(1e-4, 3e-3, about="Learning rate of the skills."),
        "training.backbone_lr": LogUniform(1e-4, 3e-3, about="Learning rate of the network under the skills."),
        "training.routing_lr": LogUniform(1e-3, 1e-1, about="Learning rate of the routing."),
        "training.entropy": LogUniform(1e-3, 3e-2, about="Coefficient of the entropy at the start; Hui et al.: 0.01."),
        "training.clip": Uniform(0.1, 0.3, about="Bound on the ratio of probabilities; Hui et al.: 0.2."),
        "training.epochs": IntRange(2, 6, about="Passes over an iteration's frames; Hui et al.: 4."),
        "training.batch": Grid((640, 1280, 2560), about="Frames of a minibatch; Hui et al.: 1280."),
        "routing.kind": OneOf(("polytropon", "shared", "private"), about="Router."),
        "routing.n_skills": LogIntRange(
            2, 12, about="Skills of the inventory; the paper has 9.", only_with={"routing.kind": ("polytropon",)}
        ),
        "routing.temperature": Uniform(
            0.5, 2.0, about="Temperature of the relaxed Bernoulli.", only_with={"routing.kind": ("polytropon",)}
        ),
    },
)
