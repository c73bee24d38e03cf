"""An inventory on disk: a library of its skills, and beside them the router and a trained backbone."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.files import write_file, writing
from polyray.files.disk import disk
from polyray.modules.attach import Inventory
from polyray.modules.layout import Layout
from polyray.routing import Router
from polyray.routing.restoring import restore_router
from polyray.skills.card import Ancestor, BackboneCard, Card, Parent, TrainedBackbone, sealed
from polyray.skills.form import TaskForm
from polyray.skills.inventory_card import BACKBONE, CARD, FOLDER, ROUTER, InventoryCard, read_inventory_card
from polyray.skills.skill import HEADS, Skill, load_skill, save_skill
from polyray.skills.spec import InventorySpec
from polyray.skills.tensors import check_fit, load_tensors, save_tensors


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
    fingerprints = [
        save_skill(new_skill(name, model, inventory.skill(index), shared, metrics), folder / name).fingerprint
        for index, name in enumerate(names)
    ]
    with writing(folder / FOLDER) as temporary:
        save_tensors({name: x.clone() for name, x in router.state_dict().items()}, temporary / ROUTER)
        backbone = model.backbone_state()
        if backbone:
            save_tensors({name: x.clone() for name, x in backbone.items()}, temporary / BACKBONE)
        card = InventoryCard(
            spec=spec, suite=provenance.suite, tasks=router.tasks.names, forms=dict(provenance.forms),
            skills=tuple(names), fingerprints=tuple(fingerprints), backbone=provenance.backbone,
            sha256={path.name: disk().digest(path) for path in sorted(temporary.iterdir())},
        )  # fmt: skip
        write_file(temporary / CARD, sealed(card))


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
        return load_tensors(self.path / FOLDER / ROUTER)

    def router(self, layout: Layout) -> Router:
        """The router, for sites of this layout.

        Raises:
            InputError: its tensors do not fit, or it mixes another number of skills than there are.
        """
        return restore_router(
            self.spec.routing, self.card.tasks, layout, self.router_state(), n_skills=len(self.card.skills)
        )

    def restore(self, model: Trained) -> None:
        """Load skills, heads and trained backbone into a model built from the same spec with `router_state`.

        Raises:
            InputError: a skill is damaged, or tensors do not fit.
        """
        inventory = model.inventory
        if len(self.card.skills) != inventory.n_skills:
            raise InputError(
                f"{self.path / FOLDER / CARD} names {len(self.card.skills)} skills; the router mixes "
                f"{inventory.n_skills}."
            )
        heads: Mapping[str, Tensor] = {}
        for index, folder in enumerate(self.skill_folders):
            skill = self.load_skill(index)
            if skill.card.sites != inventory.sites:
                raise InputError(f"{folder}: its sites are not the {len(inventory.sites)} ones of this inventory.")
            inventory.load_skill(index, skill.modules)
            heads = skill.heads
        if heads:
            model.load_heads_state(heads)
        if BACKBONE in self.card.sha256:
            model.load_backbone_state(load_tensors(self.path / FOLDER / BACKBONE))

    def load_skill(self, index: int) -> Skill:
        """The skill of the router's column `index`, its sums checked.

        Raises:
            InputError: it is damaged, or not the one that was saved with this inventory.
        """
        folder = self.skill_folders[index]
        skill = load_skill(folder)
        card, modules = skill.card, self.spec.modules
        pairs = {
            "name": (card.name, folder.name), "kind": (card.kind, modules.kind),
            "options": (card.options, modules.stack_options.model_dump(mode="json")),
            "backbone": (card.backbone.fingerprint, self.card.backbone.fingerprint),
            "fingerprint": (card.fingerprint, (self.card.fingerprints or (card.fingerprint,) * (index + 1))[index]),
        }  # fmt: skip
        for label, (actual, expected) in pairs.items():
            if actual != expected:
                raise InputError(
                    f"{folder} is not the skill that was saved with {self.path / FOLDER}: its {label} is {actual!r}, "
                    f"not {expected!r}."
                )
        return skill


def load_inventory(folder: Path) -> InventoryFolder:
    """The inventory in `folder`.

    Raises:
        InputError: there is none, or it is damaged.
    """
    return InventoryFolder(path=folder, card=read_inventory_card(folder))


def restore_parameters(named: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Copy the tensors of `state` into those of `named`.

    Raises:
        InputError: names, shapes or types differ.
    """
    check_fit(state, named, "The trained backbone")
    with torch.no_grad():
        for name, tensor in state.items():
            named[name].copy_(tensor)
