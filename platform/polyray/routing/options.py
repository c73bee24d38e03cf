"""Options that several routers share."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from polyray.config import Section


class SkillCount(Section):
    """The size of an inventory."""

    n_skills: int = Field(8, ge=1)
    """Skills of the inventory."""


class Granularity(Section):
    """The number of allocations."""

    granularity: Literal["site", "model"] = "site"
    """One allocation per site, or one for the whole backbone."""


class PriorOptions(Section):
    """The Indian Buffet Process prior over allocations."""

    ibp: float = Field(0.0, ge=0)
    """Coefficient of the Indian Buffet Process prior in the loss; 0 leaves it out, as the paper's final model does."""
    ibp_alpha: float = Field(5.0, gt=0)
    """The prior's expected number of skills per task."""
    ibp_columns: Literal["exact", "counts"] = "exact"
    """The prior as the paper writes it, or of the columns' counts, which prefers few tasks per skill."""
    ibp_centred: bool = True
    """Subtract the prior's value at half-full columns, so that logged losses stay comparable."""

    def unread(self) -> Mapping[str, str]:
        """The prior's options without a prior."""
        return {} if self.ibp else dict.fromkeys(("ibp_alpha", "ibp_columns", "ibp_centred"), "routing.ibp is 0")


class LearnedOptions(SkillCount, Granularity, PriorOptions):
    """The choices of a learned allocation."""

    temperature: float = Field(1.0, gt=0)
    """Temperature of the relaxed Bernoulli or the softmax."""
    sample: Literal["example", "task", "none"] = "example"
    """Whose noise a step draws: every example's, every task's, or nobody's."""


class TopOptions(Section):
    """The number of skills that are kept."""

    top: int = Field(2, ge=1)
    """Skills that a task, or with token_moe a token, keeps."""
