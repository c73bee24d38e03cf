"""Config of a merge: its models, its method, and the files that it writes."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator

from polyray.config import Choice, Section
from polyray.errors import InputError
from polyray.formats.names import check_name
from polyray.merging.methods import MERGES, MergeMethod

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class MergeOptions(Choice):
    """A merge method and the method's own options."""

    table = MERGES
    noun = "merge method"

    kind: str = "task_arithmetic"
    """Merge method: see `polyray list merges`."""

    @property
    def method(self) -> MergeMethod:
        """The method."""
        return MERGES[self.kind]


class PatternOptions(Section):
    """Weight and density of a part in some tensors."""

    pattern: str
    """Names of tensors, `*` is anything."""
    weight: float | None = None
    """The part's weight there; None: as elsewhere."""
    density: float | None = Field(None, gt=0, le=1)
    """The part's density there; None: as elsewhere."""


class PartOptions(Section):
    """A model that takes part in a merge."""

    files: ClassVar[frozenset[str]] = frozenset({"model", "fisher", "inner_products"})

    model: str
    """Folder of transformers, a safetensors or torch file, or the folder of a skill on the base."""
    weight: float = 1.0
    """Coefficient; negative for a model whose change is to be undone."""
    density: float = Field(1.0, gt=0, le=1)
    """Share of the entries of its change that stay, in methods that thin changes out."""
    fisher: str = ""
    """File or folder with the diagonal of its Fisher information, tensors by the same names (the job fisher's)."""
    inner_products: str = ""
    """File with inner products of the inputs of its linear layers (the job fisher's, statistic=inner_products)."""
    delta: bool = False
    """The files hold a task vector, which is added to the base, in place of a model."""
    patterns: tuple[PatternOptions, ...] = ()
    """Tensors in which weight or density are others; the first pattern that fits counts."""


class MergeRecipe(Section):
    """Models and the method that merges them."""

    files: ClassVar[frozenset[str]] = frozenset({"base", "base_fisher", "base_skills"})

    base: str = ""
    """The model that the parts were fine-tuned from: a folder of transformers, or a safetensors or torch file."""
    base_skills: tuple[str, ...] = ()
    """Folders of skills that are added to the base before: those beneath the parts while these were trained."""
    base_fisher: str = ""
    """File or folder with the diagonal of its Fisher information."""
    base_weight: float = Field(1.0, gt=0)
    """Coefficient of the base in methods that average it with task vectors."""
    parts: tuple[PartOptions, ...] = ()
    """The models that are merged."""
    factor: float = 1.0
    """Factor of all parts' weights, the lambda of a sweep."""
    factors: tuple[float, ...] = ()
    """Factors of which each gives a model of its own; the files are read once."""
    merge: MergeOptions = MergeOptions()
    """Method and its options."""
    into: Literal["model", "skill"] = "model"
    """Result: a model, or one skill, where all parts are sparse skills or all LoRA."""
    name: str = "merged"
    """Name of the merged skill."""
    rank: int = Field(0, ge=0)
    """Rank of a merged LoRA skill at most; smaller singular values are dropped. 0: that of all parts together, which is
    exact."""
    dtype: Literal["same", "fp32", "fp16", "bf16"] = "same"
    """Number format of the merged model, computed in fp32; same: each tensor as in the base, or in the first part."""
    shard: int = Field(4096, ge=1)
    """Size of a file of the merged model at most, MiB."""
    seed: int = Field(0, ge=0)
    """Seed of methods that draw."""

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        try:
            check_name(name, "skill")
        except InputError as error:
            raise ValueError(str(error)) from None
        return name

    @property
    def all_factors(self) -> tuple[float, ...]:
        """The factors of the models that are written."""
        return tuple(self.factor * factor for factor in self.factors) or (self.factor,)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({*self.factors}) < len(self.factors):
            raise ValueError("factors: each one gives a model; found one of them twice")
        if self.factors and self.into == "skill":
            raise ValueError("factors give several models; a merged skill has one: set factor")
        return self

    def unread(self) -> Mapping[str, str]:
        """Fields that the kind of result leaves unread."""
        fields = ("name", "rank") if self.into == "model" else ("dtype", "shard")
        return dict.fromkeys(fields, f"into={self.into} leaves it unread")
