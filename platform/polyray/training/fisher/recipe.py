"""Config of a pass over examples that sums their squared gradients, and the examples that it takes."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator

from polyray.errors import InputError
from polyray.objectives import TextOptions
from polyray.tasks import Suite
from polyray.training.data import partition_tasks, pooled_examples
from polyray.training.recipe import SuiteConfig


class FisherRecipe(SuiteConfig):
    """The parameters, the examples, and the scale of Fisher information."""

    files: ClassVar[frozenset[str]] = frozenset({"backbone", "base", "skill", "start"})

    backbone: str = "tiny-seq2seq"
    """Network whose parameters are looked at: a folder, or a name; see `polyray list backbones`."""
    base: tuple[str, ...] = ()
    """Folders of skills that are added to the network's parameters before."""
    skill: str = ""
    """Folder of a skill on this network whose own numbers are looked at, in place of the network's."""
    split: Literal["train", "dev", "test"] = "train"
    """Examples of the training tasks that are looked at."""
    n: int = Field(0, ge=0)
    """Examples, drawn without replacement; 0: all."""
    statistic: Literal["fisher", "inner_products"] = "fisher"
    """Squared gradients of parameters, or for the weight of each linear layer the inner products of its inputs, by
    which merges by regmean weight; these need no labels, and take one example at a time."""
    labels: Literal["gold", "sampled"] = "gold"
    """Targets: the examples' own (empirical Fisher information), or drawn from what the network predicts behind the
    gold prefix."""
    scale: Literal["sequence", "token", "reference"] = "sequence"
    """An example's loss is the sum over its predicted tokens (words, answers), or their mean. reference: squares of
    whole batches' gradients in the scale of the authors of elastic weight removal, which depends on `batch`."""
    at: Literal["model", "task_vector", "negated_task_vector"] = "model"
    """Parameters at which gradients are taken: the network's, or what was added to `start`, or that times -1."""
    start: str = ""
    """Network that task vectors are counted from: a folder, or a name; empty: `backbone` without `base`."""
    include: tuple[str, ...] = ("*",)
    """Patterns of names of parameters that are looked at."""
    batch: int = Field(8, ge=1)
    """Examples at once; but for scale=reference the result is the same for every size, up to rounding."""
    pieces: int = Field(4, ge=1)
    """Pieces of work. Each is one Ray task; their sums are added in their order, so that the number of workers does not
    change a bit."""
    seed: int = Field(0, ge=0)
    """Seed of the draw of examples and of labels."""
    text: TextOptions = TextOptions()
    """Lengths of texts."""

    @field_validator("include")
    @classmethod
    def _some(cls, include: tuple[str, ...]) -> tuple[str, ...]:
        if not include:
            raise ValueError("expected at least one pattern of names of parameters")
        return include

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.scale == "reference" and self.labels == "gold":
            raise ValueError("scale=reference is the scheme of sampled labels: set labels=sampled")
        if self.skill and (self.scale == "reference" or self.at != "model"):
            raise ValueError("a skill's own numbers are looked at with scale sequence or token and at=model")
        if self.statistic == "inner_products" and (self.skill or self.at != "model" or self.labels != "gold"):
            raise ValueError("inner products are of a network's layers: leave skill, at and labels out")
        if self.at != "model" and not (self.start or self.base):
            raise ValueError(f"at={self.at} needs start, the network that the task vector is counted from, or base")
        return self

    def unread(self) -> Mapping[str, str]:
        """Fields that others leave unread."""
        start = {"start": "task vectors are counted from it: set at=task_vector"} if self.at == "model" else {}
        needless = ("scale", "batch") if self.statistic == "inner_products" else ()
        return {**start, **dict.fromkeys(needless, "statistic=inner_products leaves it unread")}

    @property
    def fingerprint(self) -> str:
        """sha256 over all fields."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    @property
    def at_once(self) -> int:
        """Examples of a batch."""
        return 1 if self.statistic == "inner_products" else self.batch

    @property
    def stride(self) -> int:
        """Consecutive examples that stay together in one piece: those whose gradients are added before squaring."""
        return self.batch if self.scale == "reference" else 1

    def of_piece(self, examples: tuple[Any, ...], index: int) -> tuple[Any, ...]:
        """The examples of one piece."""
        return tuple(x for number, x in enumerate(examples) if number // self.stride % self.pieces == index)


def chosen_examples(recipe: FisherRecipe, suite: Suite) -> tuple[Any, ...]:
    """The examples that are looked at, in the order in which they were drawn.

    Raises:
        InputError: there are none, or fewer than were asked for.
    """
    tasks = partition_tasks(suite, "train")
    examples = [x for task in tasks for x in pooled_examples(suite.tasks[task], (recipe.split,))]
    if not examples or recipe.n > len(examples):
        raise InputError(f"n={recipe.n}: the training tasks have {len(examples)} {recipe.split} examples in all.")
    generator = torch.Generator().manual_seed(recipe.seed)
    order = torch.randperm(len(examples), generator=generator).tolist()
    return tuple(examples[index] for index in order[: recipe.n or len(order)])
