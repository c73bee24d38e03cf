"""A backbone with an inventory and a router, as one module with a loss."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from polyray.backbones import Backbone, load_backbone
from polyray.backbones.backbone import device_of
from polyray.backbones.precision import DtypeChoice, SkillsDtype, check_dtype
from polyray.errors import InputError
from polyray.modules.attach import Inventory, attach
from polyray.modules.dense import DenseStack
from polyray.modules.kinds import MODULES
from polyray.modules.layout import Layout
from polyray.modules.presets import site_patterns
from polyray.objectives import OBJECTIVES, Batch, head_of, heads_for
from polyray.routing import ROUTERS, FixedRouter, Router
from polyray.skills.card import BackboneCard
from polyray.skills.inventory import InventoryFolder, restore_parameters
from polyray.skills.spec import InventorySpec
from polyray.tasks import Task


class Modular(nn.Module):
    """forward(batch) is the mean loss of the batch under its tasks' mix.

    Attributes:
        backbone, inventory, router: the network, its skills and their allocation to tasks.
        heads: what tasks have of their own on top of the backbone, by the keys of their objective.
    """

    def __init__(
        self, backbone: Backbone, inventory: Inventory, router: Router, heads: Mapping[str, nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.network, self.inventory = backbone.network, inventory
        self.router = router
        self.heads = nn.ModuleDict(heads)

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        """Call it inside `mixing(model.inventory)`, and `backward()` too; the router's noise comes from `generator`."""
        self.inventory.set_mix(self.router(batch.tasks, generator))
        losses = OBJECTIVES[batch.objective].loss(self, batch)
        loss = (losses * batch.weights).sum()
        log_prior = self.router.log_prior()
        return loss if log_prior is None else loss - log_prior

    def backbone_state(self) -> dict[str, Tensor]:
        """The backbone's parameters that are trained."""
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}

    def load_backbone_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `backbone_state` returned.

        Raises:
            InputError: names, shapes or types differ.
        """
        restore_parameters(dict(self.network.named_parameters()), state)

    def heads_state(self) -> dict[str, Tensor]:
        """The tensors of the heads as KEY/PARAMETER."""
        heads = self.heads.items()
        return {f"{key}/{name}": tensor for key, head in heads for name, tensor in head.state_dict().items()}

    def load_heads_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `heads_state` returned; heads that the model lacks are made.

        Raises:
            InputError: a head is of an unknown objective, or has other tensors.
        """
        for key in dict.fromkeys(name.partition("/")[0] for name in state):
            if key not in self.heads:
                self.heads[key] = head_of(self.backbone, key).to(device_of(self.network))
            prefix = f"{key}/"
            tensors = {name.removeprefix(prefix): x for name, x in state.items() if name.startswith(prefix)}
            try:
                self.heads[key].load_state_dict(tensors)
            except RuntimeError as error:  # torch's own for missing, left over and misshapen tensors
                raise InputError(f"The head {key!r} does not fit: {error}") from None


def build(backbone: Backbone, spec: InventorySpec, tasks: Sequence[Task], generator: torch.Generator) -> Modular:
    """A fresh inventory, router and heads for `tasks` on `backbone`.

    Raises:
        InputError: the spec or the tasks do not fit the backbone, or its router not its modules.
    """
    check_mixable(spec)
    patterns = site_patterns(backbone.family, spec.modules.sites, backbone.network)
    layout = Layout.of(backbone.network, patterns, spec.modules.n_heads)
    names = [task.name for task in tasks]
    router = ROUTERS[spec.routing.kind](names, layout, spec.routing.options, generator)
    model = _on_backbone(backbone, spec, patterns, router, generator)
    model.heads.update(heads_for(backbone, tasks, generator))
    return model


def bare(backbone: Backbone, tasks: Sequence[str], heads: Mapping[str, nn.Module] | None = None) -> Modular:
    """`backbone` with heads and no site, for skills that change its own parameters."""
    inventory = Inventory({}, "dense", 1, DenseStack.Options(), torch.Generator())
    return Modular(backbone, inventory, FixedRouter(tasks, torch.ones(len(tasks), 1)), heads)


def rebuild(backbone: Backbone, folder: InventoryFolder) -> Modular:
    """The inventory of `folder` on `backbone` with its router; skills and heads are yet to be loaded.

    Raises:
        InputError: the spec does not fit the backbone, or the router is damaged.
    """
    spec = folder.spec
    check_mixable(spec)
    patterns = site_patterns(backbone.family, spec.modules.sites, backbone.network)
    layout = Layout.of(backbone.network, patterns, spec.modules.n_heads)
    router = folder.router(layout)
    return _on_backbone(backbone, spec, patterns, router, torch.Generator().manual_seed(0))


def load_model(folder: InventoryFolder, dtype: SkillsDtype = "card") -> Modular:
    """The model that an inventory was saved from, in evaluation mode, with all its tensors frozen.

    Args:
        dtype: number format of the backbone's weights; card: as in training.

    Raises:
        InputError: the backbone cannot be loaded, or is not the one that the skills were trained on.
    """
    backbone = backbone_of(folder.card.backbone, folder.path, dtype, folder.trained_backbone(folder.path) is not None)
    model = rebuild(backbone, folder)
    folder.restore(model)
    backbone.freeze()
    return model.eval()


def check_skills_dtype(folder: InventoryFolder, dtype: SkillsDtype) -> DtypeChoice:
    """The number format in which the backbone of an inventory is to be loaded.

    Raises:
        InputError: its weights cannot have this format here, or were trained and are kept in fp32.
    """
    return _checked_dtype(folder.card.backbone, dtype, folder.trained_backbone(folder.path) is not None)


def _checked_dtype(card: BackboneCard, dtype: SkillsDtype, trained: bool) -> DtypeChoice:
    chosen: DtypeChoice = card.dtype if dtype == "card" else dtype
    check_dtype(card.name, chosen)
    if trained and chosen != "fp32":
        raise InputError(
            f"backbone_dtype={chosen} is for a frozen backbone; the one under these skills was trained, and what "
            "training made of it is kept in fp32: leave backbone_dtype out."
        )
    return chosen


def backbone_of(card: BackboneCard, path: Path, dtype: SkillsDtype, trained: bool) -> Backbone:
    """The backbone that the skills in `path` were trained on; `trained`: whether it was trained with them.

    Raises:
        InputError: it cannot be loaded, or has other weights now.
    """
    backbone = load_backbone(card.name, card.revision, _checked_dtype(card, dtype, trained))
    if backbone.fingerprint != card.fingerprint:
        raise InputError(
            f"The skills in {path} were trained on other weights than {card.name!r} has here "
            f"(fingerprint {card.fingerprint[:12]}, found {backbone.fingerprint[:12]})."
        )
    if trained:  # answers are embedded by the network as it was
        backbone.original = lambda: load_backbone(card.name, card.revision).model
    return backbone


def _on_backbone(
    backbone: Backbone, spec: InventorySpec, patterns: Sequence[str], router: Router, generator: torch.Generator
) -> Modular:
    modules = spec.modules
    inventory = attach(backbone.network, patterns, modules.kind, router.n_skills, modules.stack_options, generator)
    return Modular(backbone, inventory, router)


def check_mixable(spec: InventorySpec) -> None:
    """Refuse a router that cannot mix modules of the spec's kind.

    Raises:
        InputError: it cannot.
    """
    routing, kind = spec.routing.kind, spec.modules.kind
    router, module = ROUTERS[routing], MODULES[kind]
    if router.module_kinds and kind not in router.module_kinds:
        raise InputError(f"routing.kind={routing} mixes modules.kind={' or '.join(router.module_kinds)}; found {kind}.")
    if not router.by_task and not module.by_token:
        able = ", ".join(name for name, entry in MODULES.items() if entry.by_token)
        raise InputError(f"routing.kind={routing} mixes token by token: modules.kind is one of {able}; found {kind}.")
