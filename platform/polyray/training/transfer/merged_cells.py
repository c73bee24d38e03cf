"""Scores of merged skills, each task with the head that its own skill brought along."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from polyray.backbones import load_backbone
from polyray.skills.card import check_backbone
from polyray.skills.delta import delta, fold
from polyray.skills.skill import Skill, load_skill
from polyray.training.evaluation import predictions
from polyray.training.model import bare
from polyray.training.transfer.cells import encoded_tests, write_outcome
from polyray.training.transfer.merge_options import WayOptions
from polyray.training.transfer.merge_plan import MergedCell, merged_tasks
from polyray.training.worker import own_device


def score_merged(cell: MergedCell) -> dict[str, Any]:
    """Merge the skills of a cell, score them on their tasks, and write the outcome."""
    recipe = cell.recipe
    suite = recipe.load_suite()
    skills = [load_skill(folder) for folder in cell.folders]
    backbone = load_backbone(recipe.backbone)
    for skill in skills:
        check_backbone(skill.card, backbone.fingerprint)
    backbone.network.to(own_device())
    data = {task: encoded_tests(recipe, suite, backbone, task) for task in cell.tasks}  # skills are not on it yet
    if len(skills) > 1:
        merge_skills(backbone.network, skills, recipe.merge.ways[cell.way], seed=cell.order)
    elif skills:
        fold(skills[0], backbone.network)
    model = bare(backbone, merged_tasks(suite)).eval()
    scores: dict[str, Any] = {}
    for number, (task, rows) in enumerate(data.items()):
        if skills:
            model.load_heads_state(skills[number].heads)
        predicted = predictions(model, rows, recipe.evaluation, recipe.task.text.max_output)
        figures = suite.tasks[task].score(predicted, rows.examples)
        scores[task] = {"scores": figures, "too_long": sum(row.cut for row in rows.rows)}
    return write_outcome(
        cell, {"method": cell.method, "way": cell.way, "seed": cell.seed, "order": cell.order, "tasks": scores}
    )


@torch.no_grad()
def merge_skills(network: nn.Module, skills: Sequence[Skill], way: WayOptions, *, seed: int) -> None:
    """Give the network the parameters that a merge method makes of it with each of the skills, one after the other.

    Only one parameter at a time is there as often as there are skills; parameters that no skill changes stay.

    Args:
        seed: of methods that draw.

    Raises:
        InputError: a skill changes no parameters, or the method refuses what it is to merge.
    """
    deltas = [delta(skill, network) for skill in skills]
    generator = torch.Generator().manual_seed(seed)
    for name in dict.fromkeys(name for changes in deltas for name in changes):
        parameter = network.get_parameter(name)
        start = parameter.detach().clone()
        parts = []
        for changes in deltas:
            tensor = start.clone()
            if name in changes:
                changes[name].add_to(tensor)
            parts.append(tensor)
        parameter.copy_(way.merged(parts, start, generator))
