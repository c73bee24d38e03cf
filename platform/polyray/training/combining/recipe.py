"""Config of a comparison of the ways to use several skills together."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from polyray.config import Section
from polyray.objectives import TextOptions
from polyray.training.recipe import SuiteConfig
from polyray.training.transfer.merge_options import WayOptions


class CombinedEvaluation(Section):
    """Examples that are scored."""

    batch: int = Field(64, ge=1)
    """Examples, or candidates, at once."""
    max_examples: int = Field(0, ge=0)
    """Examples of a task and split at most; 0: all."""


def _default_ways() -> dict[str, WayOptions]:
    ways: Mapping[str, Mapping[str, Any]] = {
        "average": {"kind": "task_arithmetic", "normalize": True},
        "ties": {"kind": "ties", "part_density": 0.2},
    }
    return {name: WayOptions.model_validate(way) for name, way in ways.items()}


class CombineRecipe(SuiteConfig):
    """Ensembles, merges and routing of the same skills, each with what it costs."""

    files: ClassVar[frozenset[str]] = frozenset({"skills"})

    skills: tuple[str, ...] = ()
    """Folders of skills of one backbone, each of one or more tasks of the suite."""
    split: Literal["train", "dev", "test"] = "test"
    """Examples that are scored; subsets are chosen on the dev examples."""
    ways: dict[str, WayOptions] = Field(default_factory=_default_ways)
    """Merge methods by a name of your own: {ties: {kind: ties, part_density: 0.2}}; see `polyray list merges`. Empty:
    nothing is merged."""
    subsets: tuple[int, ...] = (2, 4)
    """Sizes of ensembles whose members are chosen greedily; that of all skills is there in any case."""
    routed: tuple[int, ...] = (1, 2)
    """Numbers of skills whose answers are averaged for an example: those of the nearest tasks."""
    clusters: tuple[int, ...] = (2, 4)
    """Numbers of clusters of skills; each cluster is merged, and an example goes to the nearest one."""
    resamples: int = Field(1000, ge=0)
    """Bootstrap samples of the examples for the intervals; 0: none."""
    text: TextOptions = TextOptions()
    """Lengths of texts."""
    evaluation: CombinedEvaluation = CombinedEvaluation()
    """Batches, and examples at most."""

    @field_validator("subsets", "routed", "clusters")
    @classmethod
    def _rising(cls, numbers: tuple[int, ...]) -> tuple[int, ...]:
        if any(number < 1 for number in numbers) or list(numbers) != sorted(set(numbers)):
            raise ValueError("expected rising numbers from 1")
        return numbers

    def unread(self) -> Mapping[str, str]:
        """Fields that others leave unread."""
        return {} if self.ways or not self.clusters else {"clusters": "clusters are merged: set ways"}

    @property
    def fingerprint(self) -> str:
        """sha256 over the fields that decide the scores of a candidate."""
        names = {"suite", "tasks", "split", "text", "evaluation"}
        return hashlib.sha256(
            json.dumps(self.model_dump(mode="json", include=names), sort_keys=True).encode()
        ).hexdigest()
