"""The states from which few-shot adaptations start."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from polyray.backbones.backbone import device_of
from polyray.errors import InputError
from polyray.modules.attach import Inventory
from polyray.objectives import heads_for
from polyray.routing import FixedRouter, Router
from polyray.tasks import Task
from polyray.training.methods import Method
from polyray.training.model import Modular


def start(model: Modular, method: Method, task: Task, relatives: Sequence[str], generator: torch.Generator) -> Modular:
    """A copy of the inventory, a router and a head for `task` alone, all as `method` wants them.

    Raises:
        InputError: the method trains a row, and the router has none to train.
    """
    old, router = model.inventory, model.router
    if method == "row" and not router.trains_rows:
        raise InputError("adapt.method=row trains a row of the allocation, and this inventory's is fixed.")
    single: Router = FixedRouter([task.name], torch.ones(1, 1))
    if method == "full" or (router.starts_afresh and method in ("skills", "fresh")):
        inventory, new = old.fresh(1, generator), single
    elif method == "average":
        inventory, new = old.fresh(1, generator), single
        inventory.load_skill(0, average(old))
    else:
        inventory = old.fresh(old.n_skills, generator)
        if method != "fresh":
            inventory.load_state_dict(old.state_dict())
        new = router.for_task(task.name, relatives, generator, keep=method != "fresh")
    heads = heads_for(model.backbone, [task], generator)
    for key in heads.keys() & set(model.heads) if method not in ("fresh", "full") else ():
        heads[key].load_state_dict(model.heads[key].state_dict())  # of a training task with the same labels
        heads[key].requires_grad_(method != "row")
    inventory.install(model.network)
    return Modular(model.backbone, inventory, new, heads).to(device_of(model.network))


def average(inventory: Inventory) -> Mapping[str, Tensor]:
    """The mean of all skills, tensor by tensor; the supports of sparse modules must agree.

    Raises:
        InputError: skills of a sparse inventory change different entries.
    """
    skills = [inventory.skill(index) for index in range(inventory.n_skills)]
    mean = {}
    for name, first in skills[0].items():
        if not first.is_floating_point():
            if any(not torch.equal(first, skill[name]) for skill in skills):
                raise InputError("adapt.method=average needs skills with one support; these are sparse and differ.")
            mean[name] = first
        else:
            mean[name] = torch.stack([skill[name] for skill in skills]).mean(0)
    return mean
