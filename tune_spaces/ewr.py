"""Elastic weight removal: lambda, form, and floor of Fisher information (Daheim et al. 2024, arXiv:2303.17574)."""

from polyray.sweeps.fields import LogUniform, OneOf
from polyray.sweeps.space import Goal, Space

EWR = Space(
    about="how far elastic weight removal goes, and whether it shrinks the base",
    job="merge",
    goal=Goal("loss", "min"),
    searcher="tpe",
    settings={"held_out.split": "dev", "keep": False},
    fields={
        "merge.kind": OneOf(("ewr",), about="Elastic weight removal."),
        "factor": LogUniform(0.01, 1.0, about="Factor of the parts' weights, lambda; the paper has 0.15."),
        "merge.form": OneOf(
            ("published", "delta"),
            about="The paper's average of base and task vectors, or only its step.",
            only_with={"merge.kind": ("ewr",)},
        ),
        "merge.floor": LogUniform(
            1e-12, 1e-3, about="Least Fisher information of an entry.", only_with={"merge.kind": ("ewr",)}
        ),
    },
)
