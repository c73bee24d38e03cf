"""Learning rates of few-shot adaptation: those that mttl tries for each method (`pl_finetune_tune.py`)."""

from polyray.sweeps.fields import Grid, OneOf
from polyray.sweeps.space import Goal, Space

FEW_SHOT = Space(
    about="the learning rates that mttl tries for each method of adaptation",
    job="adapt",
    goal=Goal("validation.score"),
    searcher="grid",
    fields={
        "adapt.methods": OneOf(
            (("skills",), ("row",), ("average",), ("fresh",), ("full",)), about="Method of adaptation, one at a time."
        ),
        "adapt.lr": Grid(
            (1e-4, 1e-3),
            about="Learning rate of the skills, or of the full model.",
            only_with={"adapt.methods": (("skills",), ("average",), ("fresh",), ("full",))},
        ),
        "adapt.routing_lr": Grid(
            (0.1, 0.5),
            about="Learning rate of the new task's row.",
            only_with={"adapt.methods": (("skills",), ("row",), ("fresh",))},
        ),
    },
)
