"""An inventory on disk: a library of its skills, and beside them the router and a trained backbone."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyray import __version__
from polyray.files import writing
from polyray.modules.attach import Inventory
from polyray.routing import Router
from polyray.skills.card import (
    SCHEMA,
    Ancestor,
    BackboneCard,
    Card,
    Parent,
    TrainedBackbone,
    check_sums,
    read_card,
    sha256,
)
from polyray.skills.form import TaskForm
from polyray.skills.skill import HEADS, Skill, load_skill, save_skill, storable
from polyray.skills.spec import InventorySpec

FOLDER, CARD, ROUTER, BACKBONE = "inventory", "inventory.json", "router.safetensors", "backbone.safetensors"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Origin of the skills of an inventory: backbone, tasks, their forms, fingerprints of their examples, seed."""

    backbone: BackboneCard
    suite: str
    tasks: tuple[str, ...]
    data: Mapping[str, str]
    seed: int
    started_from: tuple[Ancestor, ...] = ()
    forms: Mapping[str, TaskForm] = field(default_factory=dict)
    trained_backbone: TrainedBackbone | None = None


class InventoryCard(BaseModel):
    """inventory.json: spec, tasks and their forms, skills and backbone of an inventory, and the sums of its files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA
    spec: InventorySpec
    suite: str
    tasks: tuple[str, ...]
    forms: dict[str, TaskForm] = Field(default_factory=dict)
    skills: tuple[str, ...]
    backbone: BackboneCard
    polyray: str = __version__
    sha256: dict[str, str]


class Trained(Protocol):
    """A network with an inventory and its router, of language or of an agent."""

    @property
    def inventory(self) -> Inventory:
        """The skills."""

    @property
    def router(self) -> Router:
        """The allocation of skills to tasks."""

    def backbone_state(self) -> Mapping[str, Tensor]:
        """The backbone's own tensors that training changed, under their names without skills; empty: none."""

    def heads_state(self) -> Mapping[str, Tensor]:
        """The tensors of the heads as KEY/PARAMETER; empty: there are none."""

    def load_backbone_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `backbone_state` returned.

        Raises:
            InputError: the state does not fit.
        """

    def load_heads_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `heads_state` returned.

        Raises:
            InputError: the state does not fit.
        """


def save_inventory(
    folder: Path, model: Trained, spec: InventorySpec, provenance: Provenance, metrics: Mapping[str, Any]
) -> None:
    """Write every skill as `folder`/skill-N and the router as `folder`/inventory, each whole or not at all."""
    inventory, router = model.inventory, model.router
    names = [f"skill-{index}" for index in range(inventory.n_skills)]
    shared = replace(provenance, forms={})  # no task uses one of them alone: the inventory has the forms
    for index, name in enumerate(names):
        save_skill(new_skill(name, model, inventory.skill(index), shared, metrics), folder / name)
    with writing(folder / FOLDER) as temporary:
        save_file({name: storable(x).clone() for name, x in router.state_dict().items()}, temporary / ROUTER)
        backbone = model.backbone_state()
        if backbone:
            save_file({name: storable(x).clone() for name, x in backbone.items()}, temporary / BACKBONE)
        card = InventoryCard(
            spec=spec, suite=provenance.suite, tasks=router.tasks.names, forms=dict(provenance.forms),
            skills=tuple(names), backbone=provenance.backbone,
            sha256={path.name: sha256(path) for path in sorted(temporary.iterdir())},
        )  # fmt: skip
        (temporary / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")


def new_skill(
    name: str,
    model: Trained,
    modules: Mapping[str, Tensor],
    provenance: Provenance,
    metrics: Mapping[str, Any],
    parents: Sequence[Parent] = (),
) -> Skill:
    """A skill of these modules and of the model's heads, with its card."""
    inventory = model.inventory
    card = Card(
        name=name, kind=inventory.kind, backbone=provenance.backbone, sites=inventory.sites,
        options=inventory.options.model_dump(mode="json"), tasks=provenance.tasks, seed=provenance.seed,
        parents=tuple(parents), started_from=provenance.started_from, metrics=dict(metrics),
        data=dict(provenance.data), forms=dict(provenance.forms), trained_backbone=provenance.trained_backbone,
    )  # fmt: skip
    heads = {f"{HEADS}{key}": tensor for key, tensor in model.heads_state().items()}
    return Skill(card=card, tensors={**modules, **heads})


@dataclass(frozen=True, kw_only=True)
class InventoryFolder:
    """An inventory as `save_inventory` wrote it, the sums of its files checked."""

    path: Path
    card: InventoryCard

    @property
    def spec(self) -> InventorySpec:
        """Modules, sites and router."""
        return self.card.spec

    @property
    def skill_folders(self) -> list[Path]:
        """The folders of the skills, in the order of the router's columns."""
        return [self.path / name for name in self.card.skills]

    def trained_backbone(self, seen_from: Path) -> TrainedBackbone | None:
        """The file with the trained backbone as seen from the folder `seen_from`; None where it was not trained."""
        if BACKBONE not in self.card.sha256:
            return None
        file = self.path / FOLDER / BACKBONE
        path = os.path.relpath(file.resolve(), seen_from.resolve())
        return TrainedBackbone(path=path, sha256=self.card.sha256[BACKBONE])

    def router_state(self) -> dict[str, Tensor]:
        """The router's tensors."""
        return load_file(self.path / FOLDER / ROUTER)

    def restore(self, model: Trained) -> None:
        """Load skills, heads and trained backbone into a model built from the same spec with `router_state`.

        Raises:
            InputError: a skill is damaged, or tensors do not fit.
        """
        heads: Mapping[str, Tensor] = {}
        for index, folder in enumerate(self.skill_folders):
            skill = load_skill(folder)
            model.inventory.load_skill(index, skill.modules)
            heads = skill.heads
        if heads:
            model.load_heads_state(heads)
        if (self.path / FOLDER / BACKBONE).exists():
            model.load_backbone_state(load_file(self.path / FOLDER / BACKBONE))


def load_inventory(folder: Path) -> InventoryFolder:
    """The inventory in `folder`.

    Raises:
        InputError: there is none, or it is damaged.
    """
    card = read_card(folder / FOLDER / CARD, InventoryCard, f"{folder} holds no inventory of skills")
    check_sums(folder / FOLDER, card.sha256, CARD)
    return InventoryFolder(path=folder, card=card)


def restore_parameters(named: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Copy the tensors of `state` into those of `named` that have their names."""
    with torch.no_grad():
        for name, parameter in named.items():
            if name in state:
                parameter.copy_(state[name])
