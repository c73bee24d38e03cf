"""Likelihood of given answers under trained skills or a whole network."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from polyray.backbones.precision import SkillsDtype
from polyray.config import Section
from polyray.files import make_folders, write_file
from polyray.formats import file_name
from polyray.modules.site import without_skills
from polyray.objectives import TextOptions
from polyray.responding.members import MemberSource
from polyray.tasks import load_suite
from polyray.training.data import encoded, first_examples
from polyray.training.evaluation import log_likelihoods
from polyray.training.recipe import SuiteConfig
from polyray.training.scoring import PREDICTIONS


class LikelihoodOptions(Section):
    """Examples whose answers are scored."""

    split: Literal["train", "dev", "test"] = "test"
    """Which examples of each task."""
    tasks: tuple[str, ...] = ()
    """Tasks of the suite by name; empty: all."""
    max_examples: int = Field(0, ge=0)
    """Examples of a task at most, the first ones; 0: all."""
    batch: int = Field(16, ge=1)
    """Examples at once."""
    gpus: float = Field(0, ge=0)
    """GPUs of the Ray task that scores one task; a fraction shares one."""


class LikelihoodRecipe(SuiteConfig):
    """Score given answers by their likelihood, under trained skills or a whole network."""

    files: ClassVar[frozenset[str]] = frozenset({"skills", "base", "backbone"})

    skills: str = ""
    """Folder of skills: RUN/skills, or that of one skill, such as RUN/skills/NAME."""
    base: tuple[str, ...] = ()
    """Folders of skills that lie beneath the one skill; empty: those from its training; [none]: none."""
    backbone: str = ""
    """In place of skills a whole network: a folder of transformers, such as a merged model, or a name."""
    backbone_dtype: SkillsDtype = "card"
    """Number format of the backbone's weights: see polytropon; card: the one that the skills were trained with, and
    fp32 for a whole network."""
    score: LikelihoodOptions = LikelihoodOptions()
    """Examples whose answers are scored."""
    text: TextOptions = TextOptions()
    """Lengths of texts."""

    @property
    def source(self) -> MemberSource:
        """Source of the network."""
        return MemberSource(path=self.skills or self.backbone, base=self.base, dtype=self.backbone_dtype)


@dataclass(frozen=True, kw_only=True)
class Likelihoods:
    """The answers to one task; those of each example go below `out`."""

    recipe: LikelihoodRecipe
    out: Path
    task: str

    def moved(self, out: Path) -> Self:
        """The same answers with another folder."""
        return replace(self, out=out)


def score_likelihoods(piece: Likelihoods) -> dict[str, Any]:
    """Mean loss a token of a task's first answers, its perplexity, and their number; predictions/TASK.jsonl has each.

    Raises:
        InputError: the network cannot be loaded, or a text is too long.
        StorageError: the disk refused.
    """
    recipe, options = piece.recipe, piece.recipe.score
    suite = load_suite(recipe.tasks)
    examples = first_examples(suite.tasks[piece.task], options.split, None, options.max_examples)
    network = recipe.source.load([piece.task])
    with without_skills(network.inventory):
        data = encoded(network.backbone, suite, examples, recipe.text)
    totals, n_tokens = log_likelihoods(network, data, options.batch), [row.n_written for row in data.rows]
    _write(piece, data.examples, totals, n_tokens)
    loss = -sum(totals) / max(1, sum(n_tokens))
    scores = {"loss": loss, "perplexity": math.exp(loss), "tokens": sum(n_tokens), "examples": len(totals)}
    return {"scores": scores, "too_long": sum(row.cut for row in data.rows)}


def _write(piece: Likelihoods, examples: Sequence[Any], totals: Sequence[float], n_tokens: Sequence[int]) -> None:
    lines = [
        json.dumps({**example.record(), "scores": {"loss": -total / max(1, n), "tokens": n}}, ensure_ascii=False) + "\n"
        for example, total, n in zip(examples, totals, n_tokens, strict=True)
    ]
    make_folders(piece.out / PREDICTIONS)
    write_file(piece.out / PREDICTIONS / f"{file_name(piece.task)}.jsonl", "".join(lines))
