"""Lifting one task's skill out of an inventory: the weighted sum of skills that its row of the allocation names."""

from pathlib import Path

import torch

from polyray.errors import InputError
from polyray.modules.grouping import weighted_sum
from polyray.modules.kinds import MODULES
from polyray.modules.layout import Layout
from polyray.modules.mix import Mix
from polyray.routing import ROUTERS, module_of
from polyray.skills.blending import parents_of
from polyray.skills.card import SCHEMA
from polyray.skills.inventory import InventoryFolder
from polyray.skills.skill import HEADS, Skill, save_skill


def lift(folder: InventoryFolder, task: str, out: Path) -> Skill:
    """Write the one skill that `task` uses as the folder `out`; its card names the inventory's skills as parents.

    Needs neither backbone nor data.

    Raises:
        InputError: the inventory has no such task, mixes of its modules are no single module, or it routes tokens.
    """
    spec = folder.spec
    if not MODULES[spec.modules.kind].blends:
        raise InputError(f"A mix of {spec.modules.kind} modules is no single module, so no task has one skill.")
    skills = [folder.load_skill(index) for index in range(len(folder.skill_folders))]
    first = skills[0].card
    layout = Layout(sites=first.sites, widths=(0,) * len(first.sites), n_heads=spec.modules.n_heads)
    if not ROUTERS[spec.routing.kind].by_task:
        raise InputError(f"routing.kind={spec.routing.kind} mixes token by token, so no task has one skill.")
    router = folder.router(layout)
    module_of(router).eval()
    with torch.no_grad():
        mix = router([task])
    assert isinstance(mix, Mix)  # routers that are `by_task` give one
    weights = mix.weights[:, :, 0]
    heads = {name: tensor for name, tensor in skills[0].tensors.items() if name.startswith(HEADS)}
    card = first.model_copy(
        update={"name": out.name, "tasks": (task,), "parents": parents_of(folder.skill_folders, weights, out)}
        | {"data": {name: value for name, value in first.data.items() if name == task}}
        | {"forms": {name: form for name, form in folder.card.forms.items() if name == task}}
        | {"schema_version": SCHEMA, "trained_backbone": folder.trained_backbone(out)}
    )
    modules = weighted_sum([skill.modules for skill in skills], first.sites, weights)
    skill = Skill(card=card, tensors={**modules, **heads})
    save_skill(skill, out)
    return skill
