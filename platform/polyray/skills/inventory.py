"""An inventory on disk: a library of its skills, and beside them the router (and a trained backbone)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyray.backbones import Backbone, load_backbone
from polyray.errors import InputError
from polyray.files import writing
from polyray.modules.kinds import LINEAR
from polyray.modules.mix import Mix
from polyray.modules.options import ModuleOptions
from polyray.routing import RoutingOptions
from polyray.routing.prior import IbpOptions
from polyray.skills.skill import (
    BackboneCard,
    Card,
    Parent,
    Skill,
    check_sums,
    load_skill,
    read_card,
    save_skill,
    sha256,
)
from polyray.training.model import Form, Modular, build

FOLDER, ABOUT, ROUTER, BACKBONE = "inventory", "inventory.json", "router.safetensors", "backbone.safetensors"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where the skills of an inventory come from."""

    backbone: BackboneCard
    suite: str
    tasks: tuple[str, ...]
    data: Mapping[str, str]
    seed: int

    @classmethod
    def of(
        cls, backbone: Backbone, suite: str, tasks: Sequence[str], data: Mapping[str, str], seed: int
    ) -> "Provenance":
        """The origin of skills that are trained on `tasks`; data: the fingerprint of each task's examples."""
        card = BackboneCard(name=backbone.name, revision=backbone.revision, fingerprint=backbone.fingerprint)
        return cls(backbone=card, suite=suite, tasks=tuple(tasks), data=dict(data), seed=seed)


class _About(BaseModel):
    """inventory.json"""

    model_config = ConfigDict(frozen=True, extra="forbid")

    module: str
    modules: dict[str, Any]
    sites: tuple[str, ...]
    routing: str
    router: dict[str, Any]
    tasks: tuple[str, ...]
    skills: tuple[str, ...]
    backbone: BackboneCard
    sha256: dict[str, str]


def save_inventory(folder: Path, model: Modular, form: Form, origin: Provenance, metrics: Mapping[str, Any]) -> None:
    """Write every skill as `folder`/skill-N and the router as `folder`/inventory, each whole or not at all."""
    names = [f"skill-{index}" for index in range(model.inventory.n_skills)]
    for index, name in enumerate(names):
        card = _card(name, model, origin, metrics)
        save_skill(Skill(card=card, tensors=model.inventory.skill(index)), folder / name)
    with writing(folder / FOLDER) as temporary:
        save_file(_contiguous(model.router.state_dict()), temporary / ROUTER)
        own = {name: p for name, p in model.network.named_parameters() if p.requires_grad}
        if own:
            save_file(_contiguous(own), temporary / BACKBONE)
        sums = {path.name: sha256(path) for path in sorted(temporary.iterdir())}
        about = _About(
            module=form.module, modules=asdict(form.modules), sites=form.sites, routing=form.routing,
            router={**asdict(form.router), "allocation": dict(form.router.allocation)},
            tasks=model.router.tasks.names, skills=tuple(names), backbone=origin.backbone, sha256=sums,
        )  # fmt: skip
        (temporary / ABOUT).write_text(about.model_dump_json(indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class InventoryFolder:
    """An inventory as `save_inventory` wrote it, its sums checked."""

    path: Path
    form: Form
    tasks: tuple[str, ...]
    skills: tuple[str, ...]
    backbone: BackboneCard

    def build(self) -> Modular:
        """The model in evaluation mode: backbone, skills and router with their trained tensors, all frozen.

        Raises:
            InputError: the backbone cannot be loaded, or is not the one that the skills were trained on.
        """
        backbone = load_backbone(self.backbone.name, self.backbone.revision)
        if backbone.fingerprint != self.backbone.fingerprint:
            raise InputError(
                f"The skills in {self.path} were trained on other weights than {self.backbone.name!r} has here "
                f"(fingerprint {self.backbone.fingerprint[:12]}, found {backbone.fingerprint[:12]})."
            )
        model = build(backbone, self.form, self.tasks, IbpOptions(), torch.Generator().manual_seed(0))
        self.restore(model)
        backbone.freeze()
        return model.eval()

    def restore(self, model: Modular) -> None:
        """Put the tensors into a model of the same form."""
        for index, name in enumerate(self.skills):
            model.inventory.load_skill(index, load_skill(self.path / name).tensors)
        model.router.load_state_dict(load_file(self.path / FOLDER / ROUTER))
        if (self.path / FOLDER / BACKBONE).exists():
            state = load_file(self.path / FOLDER / BACKBONE)
            with torch.no_grad():
                for name, parameter in model.network.named_parameters():
                    if name in state:
                        parameter.copy_(state[name])


def load_inventory(folder: Path) -> InventoryFolder:
    """The inventory in `folder`.

    Raises:
        InputError: there is none, or it is damaged.
    """
    about = read_card(folder / FOLDER / ABOUT, _About, f"{folder} holds no inventory of skills")
    check_sums(folder / FOLDER, about.sha256, ABOUT)
    form = Form(
        module=about.module, modules=ModuleOptions(**about.modules), sites=about.sites, routing=about.routing,
        router=RoutingOptions(**about.router),
    )  # fmt: skip
    return InventoryFolder(path=folder, form=form, tasks=about.tasks, skills=about.skills, backbone=about.backbone)


def save_mixed(folder: Path, model: Modular, origin: Provenance, name: str, metrics: Mapping[str, Any]) -> bool:
    """Write the skill that the mix of the router's only task amounts to as `folder`/`name`.

    Returns whether there is one: mixes of some kinds of module, and of some routers, are no single skill.
    """
    with torch.no_grad():
        mix = model.router(model.router.tasks.names[:1])
    if model.inventory.kind not in LINEAR or not isinstance(mix, Mix):
        return False
    weights = mix.weights[:, :, 0]
    parents = tuple(
        Parent(name=f"skill-{index}", weight=float(weight)) for index, weight in enumerate(weights.mean((0, 1)))
    )
    card = _card(name, model, origin, metrics, parents)
    save_skill(Skill(card=card, tensors=model.inventory.blend(weights)), folder / name)
    return True


def _card(
    name: str, model: Modular, origin: Provenance, metrics: Mapping[str, Any], parents: tuple[Parent, ...] = ()
) -> Card:
    inventory = model.inventory
    return Card(
        name=name, kind=inventory.kind, backbone=origin.backbone, sites=inventory.sites,
        options=asdict(inventory.options), tasks=origin.tasks, seed=origin.seed, parents=parents, metrics=dict(metrics),
        data=dict(origin.data),
    )  # fmt: skip


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
