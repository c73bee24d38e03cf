"""Folders of skills with the forms of their tasks, as training writes them."""

from pathlib import Path

import torch
from training_cases import spec, tiny_model

from polyray.objectives import TextOptions
from polyray.skills.form import TaskForm
from polyray.skills.inventory import Provenance, save_inventory
from polyray.tasks.reading import prompt_of
from polyray.training.model import Modular
from polyray.training.multitask import backbone_card
from polyray.training.prediction import task_of

LABELS = ("red", "blue", "green")
SHORT = TextOptions(max_output=5)
FORMS = {  # by name of the task
    "colour{1}": TaskForm(metric="ACC", prompt=prompt_of("colour{1}", True), labels=LABELS, text=SHORT),
    "free": TaskForm(metric="EM", prompt="{input}", text=SHORT),
    "own": TaskForm(metric="ACC", prompt="[own] {input}", choices="own"),
    "inline": TaskForm(metric="ACC", prompt="[inline] {input}", choices="inline"),
    "rte": TaskForm(prompt="[rte] premise: {premise} hypothesis: {hypothesis}", labels=("yes", "no")),
    "tags": TaskForm(objective="tagging", prompt="{input}", labels=("B-LOC", "I-LOC", "O"), metric="Entity-F1"),
    "other tags": TaskForm(objective="tagging", prompt="{input}", labels=("N", "V"), metric="Tag-ACC"),
    "text": TaskForm(objective="masked_lm", prompt="{input}"),
}


def saved(folder: Path, backbone: str, *names: str, trained: bool = False) -> Modular:
    """A model with three skills for the tasks, saved in `folder`; `trained`: its backbone is no longer as it was."""
    model = tiny_model(backbone, [task_of(name, FORMS[name]) for name in names])
    with torch.no_grad():
        for parameter in model.router.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
        for parameter in (*model.inventory.parameters(), *(model.network.parameters() if trained else ())):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    if trained:
        model.network.requires_grad_(True)
    provenance = Provenance(
        backbone=backbone_card(model.backbone), suite="toy", tasks=names, data={}, seed=0,
        forms={name: FORMS[name] for name in names},
    )  # fmt: skip
    save_inventory(folder, model, spec(), provenance, {})
    return model.eval()
