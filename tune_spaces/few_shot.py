"""Methods of few-shot adaptation, each at the learning rates that mttl tries for it (`pl_finetune_tune.py`)."""

from polyray.sweeps.fields import OneOf
from polyray.sweeps.space import Goal, Space

FEW_SHOT = Space(
    about="methods of adaptation, each at the best of mttl's learning rates for every task",
    job="adapt",
    goal=Goal("validation.score"),
    searcher="grid",
    settings={
        "adapt.rates": (1e-3, 1e-4),
        "adapt.routing_rates": (0.5, 0.1),
        "adapt.choose": "task",
    },
    fields={
        "adapt.methods": OneOf(
            (("skills",), ("row",), ("average",), ("fresh",), ("full",)),
            about="Method of adaptation; a trial tries the rates of what it trains, and the development sets choose.",
        ),
    },
)
