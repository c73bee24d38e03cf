"""Files that an adaptation leaves in the run folder: its outcome, and the skill that the new task's mix amounts to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from polyray.files import make_folders
from polyray.modules.mix import Mix
from polyray.routing import ROUTERS
from polyray.runs.sealed import write_sealed
from polyray.skills.blending import parents_of
from polyray.skills.inventory import InventoryFolder, Provenance, new_skill
from polyray.skills.skill import ancestor, save_skill
from polyray.tasks import Task
from polyray.training.adaptation import Adapted, FewShotData
from polyray.training.data import Encoded, examples_fingerprint
from polyray.training.model import Modular
from polyray.training.pieces import Piece


@dataclass(frozen=True, eq=False, kw_only=True)
class FewShots:
    """A piece with the rows of its splits, and the known tasks of its task's category."""

    piece: Piece
    data: FewShotData
    tests: Encoded
    relatives: Sequence[str]


def write_adapted(
    few: FewShots, trained: InventoryFolder, adapted: Adapted, predicted: Sequence[Any]
) -> dict[str, Any]:
    """Write the outcome of a piece with the predictions for its test rows, and return it."""
    piece, task = few.piece, few.data.task
    scores = task.score(predicted, few.tests.examples)
    outcome = {
        "task": task.name, "seed": piece.seed, "method": piece.method, "metric": task.metric,
        "score": scores[task.metric], "scores": scores, "dev": adapted.dev, "lr": adapted.rate,
        "routing_lr": adapted.routing_rate, "step": adapted.step,
        "too_long": sum(row.cut for split in (few.data.train, few.data.dev, few.tests) for row in split.rows),
    }  # fmt: skip
    skill = "" if piece.method == "full" else save_adapted(piece, trained, adapted.model, task, outcome)
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
        backbone=trained.card.backbone.model_copy(update={"dtype": model.backbone.dtype}),
        suite=piece.recipe.suite, tasks=(task.name,),
        data={task.name: examples_fingerprint(task.examples("train", piece.seed))}, seed=piece.recipe.adapt.seed,
        started_from=() if fresh else tuple(ancestor(path, folder) for path in trained.skill_folders),
        forms={task.name: task.form(piece.recipe.text)}, trained_backbone=trained.trained_backbone(folder),
    )  # fmt: skip
    skill = new_skill(piece.name, model, model.inventory.blend(weights), provenance, metrics, parents)
    return save_skill(skill, folder).fingerprint
