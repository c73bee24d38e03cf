"""DExperts: the weights of expert and anti-expert (Liu et al. 2021, arXiv:2105.03023)."""

from polyray.sweeps.fields import Grid, OneOf
from polyray.sweeps.space import Goal, Space

DEXPERTS = Space(
    about="how much expert and anti-expert weigh in at every token",
    job="respond",
    goal=Goal("means.Knowledge-F1"),
    searcher="grid",
    settings={"score.split": "dev"},
    fields={
        "system.kind": OneOf(("dexperts",), about="Expert and anti-expert at decoding."),
        "system.anti_expert_weight": Grid(
            (0.0, 0.25, 0.5, 1.0),
            about="Weight of the anti-expert; Daheim et al. 2024 have 0.5.",
            only_with={"system.kind": ("dexperts",)},
        ),
        "system.expert_weight": Grid(
            (0.0, 0.2, 0.5, 1.0),
            about="Weight of the expert; Daheim et al. 2024 have 0.2.",
            only_with={"system.kind": ("dexperts",)},
        ),
    },
)
