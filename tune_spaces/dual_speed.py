"""Two learning rates: that of the skills and that of the routing (Ponti et al. 2023, section 2.3)."""

from polyray.sweeps.fields import LogUniform
from polyray.sweeps.space import Goal, Space
from polyray.tune_spaces.planted import PLANTED

DUAL_SPEED = Space(
    about="the skills' learning rate against the routing's",
    job="polytropon",
    goal=Goal("validation.score"),
    searcher="tpe",
    settings={"evaluation.every": 100, "tasks.train_splits": ("train",), **PLANTED},
    settings_only_with={name: {"suite": ("planted",)} for name in PLANTED},
    fields={
        "training.lr": LogUniform(1e-4, 1e-1, about="Peak learning rate of the skills; the paper tries 1e-4 to 1e-2."),
        "training.routing_lr": LogUniform(
            1e-3, 1.0, about="Peak learning rate of the routing; the paper tries 1e-2 and 1e-1."
        ),
    },
)
