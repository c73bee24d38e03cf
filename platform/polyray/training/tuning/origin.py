"""Provenance in the card of a tuned skill: data, skills beneath, a fingerprint of all that decides."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polyray.backbones import Backbone
from polyray.formats import file_name
from polyray.skills.card import Card
from polyray.skills.skill import Skill, load_card, save_skill
from polyray.skills.sparse_delta import UNTIED
from polyray.tasks import Suite
from polyray.training.beneath import ancestors
from polyray.training.data import examples_fingerprint, partition_tasks, pooled_examples
from polyray.training.multitask import backbone_card
from polyray.training.tuning.recipe import TuningRecipe

VERSION = 1  # of the fingerprint; another one where the same recipe trains otherwise
IRRELEVANT = ("training.report_every", "training.save_every", "name", "base", "heads", "tasks")
"""Fields that do not decide what is trained, and those whose content counts and not their names."""


def recipe_fingerprint(recipe: TuningRecipe, suite: Suite) -> str:
    """sha256 of all that decides what `recipe` trains, skills and examples by their own fingerprints.

    Skills with equal fingerprints are equal but for rounding; the number of workers does not count.

    Raises:
        InputError: a skill that the recipe names is not there, or the suite has no training tasks.
    """
    values: dict[str, Any] = recipe.model_dump(mode="json")
    for name in (*IRRELEVANT, *(("evaluation",) if recipe.training.keep == "last" else ())):
        section, _, field = name.rpartition(".")
        (values[section] if section else values).pop(field)
    options = recipe.method.options
    skills = {"base": recipe.base, "heads": (recipe.heads,), **{name: (vars(options)[name],) for name in options.files}}
    values["sources"] = {
        task: [load_card(Path(folder)).fingerprint for folder in folders] for task, folders in recipe.sources.items()
    }
    for name, folders in skills.items():
        values["method"].pop(name, None)
        values[f"skill {name}"] = [load_card(Path(folder)).fingerprint for folder in folders if folder]
    splits = (recipe.tasks.train_splits, ("dev",) if recipe.training.keep == "best" else ())
    for task in partition_tasks(suite, "train"):
        form = suite.tasks[task].form(recipe.text).model_dump(mode="json")
        examples = [examples_fingerprint(pooled_examples(suite.tasks[task], names)) for names in splits]
        values[f"task {task}"] = [form, *examples]
    text = json.dumps({"version": VERSION, **values}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def skill_name(recipe: TuningRecipe, suite: Suite) -> str:
    """Name of the skill, and of its folder."""
    tasks = partition_tasks(suite, "train")
    return recipe.name or (tasks[0] if len(tasks) == 1 else suite.name)


def sizes(skill: Skill) -> dict[str, int]:
    """Numbers of trained parameters: `entries` or `skills` (modules), and `heads`."""
    heads = sum(tensor.numel() for tensor in skill.heads.values())
    if "entries" in skill.card.options:
        return {"entries": int(skill.card.options["entries"]), "heads": heads}
    return {"skills": sum(tensor.numel() for tensor in skill.modules.values()), "heads": heads}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Provenance of a tuned skill: recipe, suite, backbone, fingerprints of its examples by task."""

    recipe: TuningRecipe
    suite: Suite
    backbone: Backbone
    data: Mapping[str, str]

    def save(self, skill: Skill, library: Path, metrics: Mapping[str, Any]) -> Card:
        """Write the skill with its card as a folder in `library`; the card as it was written."""
        recipe, suite = self.recipe, self.suite
        name = skill_name(recipe, suite)
        folder = library / file_name(name)
        tasks = partition_tasks(suite, "train")
        untied = {UNTIED: 1} if self.backbone.untied is not None else {}
        card = skill.card.model_copy(
            update={
                "name": folder.name, "backbone": backbone_card(self.backbone), "tasks": tasks,
                "seed": recipe.training.seed, "base": ancestors(recipe.base, folder),
                "sources": {task: ancestors(folders, folder) for task, folders in recipe.sources.items()},
                "data": dict(self.data),
                "forms": {task: suite.tasks[task].form(recipe.text) for task in tasks}, "metrics": dict(metrics),
                "method": recipe.method.kind, "recipe": recipe_fingerprint(recipe, suite),
                "options": {**skill.card.options, **untied},
            }
        )  # fmt: skip
        return save_skill(replace(skill, card=card), folder)
