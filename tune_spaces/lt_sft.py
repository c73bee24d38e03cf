"""Sparse fine-tuning: mask, number of entries, learning rate, pull (Ansell et al. 2022, arXiv:2110.07560)."""

from polyray.sweeps.fields import LogUniform, OneOf
from polyray.sweeps.space import Goal, Space

MASKS = ("lottery_ticket", "random", "magnitude")

LT_SFT = Space(
    about="which entries of the network a sparse skill trains, how many, and how fast",
    job="ltsft",
    goal=Goal("validation.score"),
    searcher="tpe",
    settings={"evaluation.every": 100, "tasks.train_splits": ("train",)},
    fields={
        "method.kind": OneOf(MASKS, about="Entries that full fine-tuning changes most, any, or the largest."),
        "method.density": LogUniform(
            3e-3,
            0.3,
            about="Share of the eligible entries; the paper has 0.08 for tasks and 0.04 for languages.",
            only_with={"method.kind": MASKS},
        ),
        "training.lr": LogUniform(1e-5, 1e-3, about="Peak learning rate of both phases; the paper has 5e-5 and 2e-5."),
        "method.pull": OneOf(
            (0.0, 0.1), about="L1 regularisation towards the start.", only_with={"method.kind": MASKS}
        ),
    },
)
