"""Speed of agents that learn with PPO, and sharing of skills among their levels."""

from typing import Any

from ray import tune

from polyray.tune_spaces.space import Space


def _fields() -> dict[str, Any]:
    """The two speeds, the routing, and PPO's own options (ranges around the values of Hui et al. 2020)."""
    return {
        "training.lr": tune.loguniform(1e-4, 3e-3),
        "training.backbone_lr": tune.loguniform(1e-4, 3e-3),
        "training.routing_lr": tune.loguniform(1e-3, 1e-1),
        "training.entropy": tune.loguniform(1e-3, 3e-2),
        "training.clip": tune.uniform(0.1, 0.3),
        "training.epochs": tune.randint(2, 7),
        "training.batch": tune.choice([640, 1280, 2560]),
        "routing.kind": tune.choice(["polytropon", "shared", "private"]),
        "routing.n_skills": tune.randint(2, 13),
        "routing.temperature": tune.uniform(0.5, 2.0),
    }


PPO = Space(
    about="how fast agents learn with PPO, and how their levels share skills",
    job="babyai",
    goal="mean",
    mode="max",
    fields=_fields,
    only_with={
        "routing.n_skills": ("routing.kind", ("polytropon",)),
        "routing.temperature": ("routing.kind", ("polytropon",)),
    },
)
