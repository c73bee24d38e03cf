"""Few-shot adaptations as independent pieces of work: one task, one split, one method."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from polyray.errors import InputError
from polyray.files import make_folders
from polyray.formats import file_name
from polyray.modules.mix import Mix
from polyray.modules.site import without_skills
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.routing import ROUTERS
from polyray.runs.sealed import read_sealed, write_sealed
from polyray.skills.blending import parents_of
from polyray.skills.inventory import InventoryFolder, Provenance, load_inventory, new_skill
from polyray.skills.skill import ancestor, load_skill, save_skill
from polyray.tasks import Suite, Task, load_suite
from polyray.training.adaptation import AdaptationOptions, FewShotData, Method, adapt
from polyray.training.data import category_allocation, encoded, examples_fingerprint, first_examples
from polyray.training.evaluation import predictions
from polyray.training.model import Modular, load_model
from polyray.training.recipe import SuiteConfig
from polyray.training.worker import own_device

log = logging.getLogger(__name__)


class AdaptationRecipe(SuiteConfig):
    """Adapt the skills of a run to tasks that it has not seen."""

    skills: str = ""
    """Folder that `polyray run polytropon` wrote: RUN/skills."""
    text: TextOptions = TextOptions()
    """Lengths of texts."""
    adapt: AdaptationOptions = AdaptationOptions(warmup=0.1)
    """How one adaptation is trained and chosen."""
    evaluation: EvaluationOptions = EvaluationOptions()
    """How development and test examples are scored."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One adaptation: a task, a few-shot split of it, a method; results go below `out`."""

    recipe: AdaptationRecipe
    out: Path
    task: str
    seed: int
    method: Method

    @property
    def name(self) -> str:
        """Name of the adaptation in the run folder."""
        return f"{file_name(self.task)}-{self.seed}-{self.method}"

    @property
    def result_file(self) -> Path:
        """The file with the adaptation's outcome."""
        return self.out / "adapted" / f"{self.name}.json"

    @property
    def skill_folder(self) -> Path:
        """The folder of the adapted skill, where there is one."""
        return self.out / "skills" / self.name

    def outcome(self) -> dict[str, Any] | None:
        """The outcome of an earlier start; None where there is none, or it or its skill was lost or altered."""
        if not self.result_file.exists():
            return None
        try:
            outcome = read_sealed(self.result_file)
            whole = not outcome["skill"] or load_skill(self.skill_folder).card.fingerprint == outcome["skill"]
        except InputError as error:
            log.warning("%s The adaptation is done again.", error)
            return None
        return outcome if whole else None


def adapt_one(piece: Piece) -> dict[str, Any]:
    """Adapt to one task from one split by one method; the outcome is written when it is whole, and returned."""
    recipe = piece.recipe
    suite, folder, model = _loaded(recipe.model_dump_json(include={"suite", "tasks", "skills"}))
    model.inventory.install(model.network)  # the piece before left its own copy there
    full = piece.method == "full"
    pretrained = {name: p.clone() for name, p in model.network.named_parameters()} if full else {}
    task = suite.tasks[piece.task]
    with without_skills(model.inventory):
        train, dev, tests = (
            encoded(model.backbone, suite, examples, recipe.text)
            for examples in (
                task.examples("train", piece.seed), task.examples("dev", piece.seed),
                first_examples(task, "test", piece.seed, recipe.evaluation.max_examples),
            )
        )  # fmt: skip
    data = FewShotData(task=task, train=train, dev=dev)
    adapted = adapt(model, piece.method, data, recipe.adapt, recipe.evaluation, relatives(suite, model, task.name))
    predicted = predictions(adapted.model, tests, recipe.evaluation, recipe.text.max_output)
    scores = task.score(predicted, tests.examples)
    outcome = {
        "task": task.name, "seed": piece.seed, "method": piece.method, "metric": task.metric,
        "score": scores[task.metric], "scores": scores, "dev": adapted.dev, "lr": adapted.rate, "step": adapted.step,
        "too_long": sum(row.cut for split in (train, dev, tests) for row in split.rows),
    }  # fmt: skip
    skill = ""
    if full:  # the backbone itself was trained: the next piece starts from the pretrained one
        model.network.load_state_dict(pretrained, strict=False)
    else:
        skill = save_adapted(piece, folder, adapted.model, task, outcome)
    make_folders(piece.result_file.parent)
    write_sealed(piece.result_file, outcome | {"predictions": predicted, "skill": skill})
    return outcome


def save_adapted(piece: Piece, trained: InventoryFolder, model: Modular, task: Task, metrics: Mapping[str, Any]) -> str:
    """Write the skill that the new task's mix amounts to as `out`/skills/NAME.

    Where the skills themselves were left as they are its card names them as parents with their weights, so that it can
    be computed again; else it names the skills from which training started. Returns the skill's fingerprint; an empty
    one where there is no one skill: mixes of some kinds of module, and of some routers, are none.
    """
    with torch.no_grad():
        mix = model.router(model.router.tasks.names[:1])
    if not model.inventory.entry.blends or not isinstance(mix, Mix):
        return ""
    folder = piece.skill_folder
    weights = mix.weights[:, :, 0].cpu()
    unchanged = piece.method == "row"
    parents = parents_of(trained.skill_folders, weights, folder) if unchanged else ()
    fresh = piece.method == "fresh" or unchanged or ROUTERS[trained.spec.routing.kind].starts_afresh
    provenance = Provenance(
        backbone=trained.card.backbone, suite=piece.recipe.suite, tasks=(task.name,),
        data={task.name: examples_fingerprint(task.examples("train", piece.seed))}, seed=piece.recipe.adapt.seed,
        started_from=() if fresh else tuple(ancestor(path, folder) for path in trained.skill_folders),
        forms={task.name: task.form(piece.recipe.text)}, trained_backbone=trained.trained_backbone(folder),
    )  # fmt: skip
    skill = new_skill(piece.name, model, model.inventory.blend(weights), provenance, metrics, parents)
    return save_skill(skill, folder).fingerprint


@lru_cache(maxsize=1)  # a worker process does many pieces of one run
def _loaded(key: str) -> tuple[Suite, InventoryFolder, Modular]:
    recipe = AdaptationRecipe.model_validate_json(key)
    folder = load_inventory(Path(recipe.skills))
    model = load_model(folder)
    model.to(own_device())
    return load_suite(recipe.tasks), folder, model


def relatives(suite: Suite, model: Modular, task: str) -> list[str]:
    """The tasks of the model's router that are of the category of `task`."""
    categories = category_allocation(suite)
    return [name for name in model.router.tasks.names if categories.get(name) == categories[task]]
