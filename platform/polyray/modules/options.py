"""The `modules` section of every job."""

from typing import ClassVar, cast

from pydantic import field_validator

from polyray.config import Choice
from polyray.modules.kinds import MODULES
from polyray.modules.stack import StackOptions


class ModuleOptions(Choice):
    """A kind of module and the kind's own options."""

    table = MODULES
    noun = "module kind"

    kind: str = "lora"
    """Kind of module: see `polyray list modules`."""

    @property
    def stack_options(self) -> StackOptions:
        """The options of the kind."""
        return cast(StackOptions, self.options)

    @property
    def n_heads(self) -> int:
        """Heads of multi-head routing."""
        return self.stack_options.n_heads


class SkillOptions(ModuleOptions):
    """The modules that a skill consists of, and the layers that carry them."""

    noun: ClassVar[str] = "module kind"

    sites: tuple[str, ...] = ("attention",)
    """Layers that carry skills: parts of the backbone (attention, ffn, all, houlsby, pfeiffer, ia3, prefix) or patterns
    of layer names."""

    @field_validator("sites")
    @classmethod
    def _some(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        if not sites or not all(site.strip() for site in sites):
            raise ValueError("expected at least one preset or pattern, none of them empty")
        return sites
