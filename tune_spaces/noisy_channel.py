"""Noisy channel: the weights of channel and language model (Daheim et al. 2022, arXiv:2210.17418)."""

from polyray.sweeps.fields import Grid, OneOf
from polyray.sweeps.space import Goal, Space

NOISY_CHANNEL = Space(
    about="how much channel and language model count among the beams",
    job="respond",
    goal=Goal("means.Knowledge-F1"),
    searcher="grid",
    settings={"score.split": "dev"},
    fields={
        "system.kind": OneOf(("noisy_channel",), about="Re-ranking of beams."),
        "system.channel_weight": Grid(
            (0.0, 0.25, 0.5, 1.0),
            about="Weight of the channel; Daheim et al. 2024 have 0.5.",
            only_with={"system.kind": ("noisy_channel",)},
        ),
        "system.language_model_weight": Grid(
            (0.0, 0.1, 0.2, 0.5),
            about="Weight of the language model; Daheim et al. 2024 have 0.2.",
            only_with={"system.kind": ("noisy_channel",)},
        ),
    },
)
