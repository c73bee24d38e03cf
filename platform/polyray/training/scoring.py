"""Scoring trained skills on the tasks that they know, several tasks at a time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from polyray.backbones.precision import SkillsDtype
from polyray.config import Section
from polyray.files import make_folders, write_file
from polyray.formats import file_name
from polyray.modules.site import without_skills
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.tasks import load_suite
from polyray.training.data import encoded, first_examples
from polyray.training.evaluation import predictions, score
from polyray.training.recipe import SuiteConfig
from polyray.training.skill_source import SkillSource
from polyray.training.worker import own_device

PREDICTIONS = "predictions"


class ScoreOptions(Section):
    """Tasks and examples to score."""

    split: Literal["train", "dev", "test"] = "test"
    """Which examples of each task."""
    tasks: tuple[str, ...] = ()
    """Tasks by name, out of those that the skills were trained on, or for one skill out of the suite; empty: all."""
    mixed: int = Field(16, ge=1)
    """Tasks that one Ray task scores together; their examples share batches."""
    gpus: float = Field(0, ge=0)
    """GPUs of one Ray task; a fraction shares one."""


class ScoringRecipe(SuiteConfig):
    """Score the skills of a run on the tasks that they were trained on, or one skill on any tasks with its head."""

    files: ClassVar[frozenset[str]] = frozenset({"skills", "base"})

    skills: str = ""
    """Folder that `polyray run polytropon` wrote, RUN/skills; or that of one skill, such as RUN/skills/NAME."""
    base: tuple[str, ...] = ()
    """Folders of skills that lie beneath the one skill, such as that of a target language: they are added to the
    backbone; empty: those from its training; [none]: none."""
    backbone_dtype: SkillsDtype = "card"
    """Number format of the backbone's weights: see polytropon; card: the one that the skills were trained with."""
    score: ScoreOptions = ScoreOptions()
    """Tasks and examples that are scored."""
    text: TextOptions = TextOptions()
    """Lengths of texts."""
    evaluation: EvaluationOptions = EvaluationOptions()
    """Batches and decoding of predictions."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """Some of the tasks to score; predictions go below `out`."""

    recipe: ScoringRecipe
    out: Path
    tasks: tuple[str, ...]

    def moved(self, out: Path) -> Self:
        """The same share with another folder."""
        return replace(self, out=out)


def score_share(share: Share) -> dict[str, Any]:
    """The scores of some tasks, predicted in mixed batches; every prediction is kept in predictions/TASK.jsonl."""
    recipe = share.recipe
    suite = load_suite(recipe.tasks)
    model = SkillSource.of(Path(recipe.skills), recipe.backbone_dtype, recipe.base).load(share.tasks).to(own_device())
    limit = recipe.evaluation.max_examples
    split = recipe.score.split
    examples = [x for name in share.tasks for x in first_examples(suite.tasks[name], split, None, limit)]
    with without_skills(model.inventory):
        data = encoded(model.backbone, suite, examples, recipe.text)
    predicted = predictions(model, data, recipe.evaluation, recipe.text.max_output)
    for name in share.tasks:
        pairs = [pair for pair in zip(data.examples, predicted, strict=True) if pair[0].task == name]
        fields = [{"prediction": prediction} for _, prediction in pairs]
        write_predictions(share.out, name, [example for example, _ in pairs], fields)
    too_long = sum(row.cut for row in data.rows)
    return {"scores": score(suite.tasks, data.examples, predicted), "too_long": too_long}


def write_predictions(out: Path, task: str, examples: Sequence[Any], fields: Sequence[Mapping[str, Any]]) -> None:
    """Write predictions/TASK.jsonl below `out`: each example as JSON, with more fields of its own.

    Raises:
        StorageError: the disk refused.
    """
    lines = [
        json.dumps({**example.record(), **more}, ensure_ascii=False) + "\n"
        for example, more in zip(examples, fields, strict=True)
    ]
    make_folders(out / PREDICTIONS)
    write_file(out / PREDICTIONS / f"{file_name(task)}.jsonl", "".join(lines))
