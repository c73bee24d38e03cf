"""Options of the study of merging: how many skills are merged, which ones, and by which methods."""

from collections.abc import Sequence
from typing import Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from polyray.config import Section
from polyray.errors import InputError
from polyray.merging import Operands, Part, merge
from polyray.merging.recipe import MergeOptions

ALONE = "alone"  # in place of a way to merge: nothing is


class WayOptions(MergeOptions):
    """A merge method with its own options, all parts of weight 1."""

    part_density: float = Field(1.0, gt=0, le=1)
    """Share of the entries of each change that stay, in methods that thin changes out (ties, dare, ...)."""

    @model_validator(mode="after")
    def _merges_two(self) -> Self:
        """Refuse what cannot merge two skills, before any is trained."""
        if self.method.needs_fisher:
            raise ValueError(f"kind {self.kind!r} needs Fisher information, which skills have none of: take another")
        if self.method.needs_inner_products:
            raise ValueError(f"kind {self.kind!r} needs inner products, which skills have none of: take another")
        try:
            self.merged([torch.eye(2) + 1, torch.full((2, 2), 3.0)], torch.ones(2, 2), torch.Generator())
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    def merged(self, parts: Sequence[Tensor], base: Tensor, generator: torch.Generator) -> Tensor:
        """One tensor of the merged network: parts and base [*shape]."""
        operands = Operands(
            parts=[Part(tensor=part, density=self.part_density) for part in parts], base=Part(tensor=base),
            generator=generator,
        )  # fmt: skip
        return merge(self.method, operands, self.options)


def _default_ways() -> dict[str, WayOptions]:
    average = {"kind": "task_arithmetic", "normalize": True}
    return {"overlap": WayOptions(kind="overlap"), "average": WayOptions.model_validate(average)}


class MergeStudyOptions(Section):
    """Numbers of skills that are merged, and the ways to merge them."""

    counts: tuple[int, ...] = (2, 4, 8, 16)
    """Numbers of merged skills, as far as there are tasks; each skill alone and all together are scored in any case."""
    orders: int = Field(3, ge=1)
    """Orders of the tasks, drawn at random: of each the first N are merged."""
    ways: dict[str, WayOptions] = Field(default_factory=_default_ways)
    """Merge methods by a name of your own: {ties: {kind: ties, part_density: 0.2}}; see `polyray list merges`."""

    @field_validator("counts")
    @classmethod
    def _rising(cls, counts: tuple[int, ...]) -> tuple[int, ...]:
        if any(n < 2 for n in counts) or list(counts) != sorted(set(counts)):
            raise ValueError("expected rising numbers from 2")
        return counts

    @field_validator("ways")
    @classmethod
    def _names(cls, ways: dict[str, WayOptions]) -> dict[str, WayOptions]:
        if not ways or ALONE in ways:
            raise ValueError(
                f"expected at least one way to merge, such as {{overlap: {{kind: overlap}}}}, and none called {ALONE!r}"
            )
        return ways
