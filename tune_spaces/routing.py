"""Routing between tasks and skills: the router, and the options that it reads."""

from polyray.sweeps.fields import Grid, LogIntRange, LogUniform, OneOf
from polyray.sweeps.space import Goal, Space
from polyray.tune_spaces.planted import PLANTED

RATES = {"training.lr": 2e-2, "training.routing_lr": 0.2}  # of planted tasks
LEARNED = ("polytropon", "soft", "hard")  # routers of which each row of the allocation is learned

ROUTING = Space(
    about="which router, how many skills, and how allocations are drawn",
    job="polytropon",
    goal=Goal("validation.score"),
    searcher="tpe",
    settings={"evaluation.every": 100, "tasks.train_splits": ("train",), **RATES, **PLANTED},
    settings_only_with={name: {"suite": ("planted",)} for name in (*RATES, *PLANTED)},
    fields={
        "routing.kind": OneOf(
            (*LEARNED, "shared", "private", "expert", "hyperformer", "token_moe"),
            about="Router. It also decides how a row is normalised: polytropon divides by the sum, soft takes a "
            "softmax, hard keeps `top` equal skills.",
        ),
        "routing.n_skills": LogIntRange(
            2, 32, about="Skills of the inventory.", only_with={"routing.kind": (*LEARNED, "hyperformer", "token_moe")}
        ),
        "routing.top": OneOf(
            (1, 2), about="Skills that a task, or a token, keeps.", only_with={"routing.kind": ("hard", "token_moe")}
        ),
        "routing.granularity": OneOf(
            ("site", "model"),
            about="One allocation per site, or one for the whole backbone.",
            only_with={"routing.kind": (*LEARNED, "hyperformer")},
        ),
        "routing.sample": OneOf(
            ("example", "task", "none"),
            about="Whose noise a step draws.",
            only_with={"routing.kind": LEARNED},
        ),
        "routing.temperature": LogUniform(
            0.3, 3.0, about="Temperature of the relaxed Bernoulli or the softmax.", only_with={"routing.kind": LEARNED}
        ),
        "routing.ibp": Grid(
            (0.0, 1e-4, 1e-3, 1e-2),
            about="Coefficient of the Indian Buffet Process prior; 0: none.",
            only_with={"routing.kind": LEARNED},
        ),
    },
)
