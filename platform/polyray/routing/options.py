"""How a router shares its skills among tasks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class RoutingOptions:
    """The choices of every router; a router reads those that concern it."""

    n_skills: int = 8  # skills of the inventory; shared, private and expert set their own
    granularity: Literal["site", "model"] = "site"  # an allocation per site, or one for the whole backbone
    temperature: float = 1.0  # of the relaxed Bernoulli or the softmax
    sample: Literal["example", "task", "none"] = "example"  # whose noise: every example's, every task's, or nobody's
    top: int = 2  # skills kept by hard and token_moe
    allocation: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # expert: the skills of each task
