"""Merge methods, the factor of the parts' weights, and the share of entries that stay, by held-out loss."""

from polyray.sweeps.fields import LogUniform, OneOf
from polyray.sweeps.space import Goal, Space

MERGE = Space(
    about="how models are merged, and with which factor of their weights",
    job="merge",
    goal=Goal("loss", "min"),
    searcher="tpe",
    settings={"held_out.split": "dev", "keep": False},
    fields={
        "merge.kind": OneOf(
            ("average", "task_arithmetic", "ties", "dare", "breadcrumbs", "della", "iso_c", "tsv_merge"),
            about="Merge method; those that need Fisher information are in the space ewr.",
        ),
        "factor": LogUniform(
            0.05,
            2.0,
            about="Factor of the parts' weights, lambda.",
            only_with={"merge.kind": ("task_arithmetic", "dare", "breadcrumbs", "della", "iso_c", "tsv_merge")},
        ),
    },
)
