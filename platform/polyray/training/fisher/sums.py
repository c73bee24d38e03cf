"""Sums of squared gradients over a piece's examples, of a network's parameters or of a skill's numbers."""

import fnmatch
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from polyray.backbones import Backbone, load_backbone
from polyray.errors import InputError
from polyray.fisher import BatchSquares, DiagonalFisher, EntriesFisher, InnerProducts, ModulesFisher
from polyray.modules.site import mixing
from polyray.objectives import Batch
from polyray.objectives.sampling import SAMPLINGS, released_loss
from polyray.skills.card import check_backbone
from polyray.skills.delta import fold
from polyray.skills.skill import Skill, load_skill
from polyray.skills.sparse_delta import KIND, on_network, sparse_delta
from polyray.training.beneath import put_beneath
from polyray.training.data import Encoded
from polyray.training.fisher.recipe import FisherRecipe
from polyray.training.model import Modular, bare
from polyray.training.placing import inventory_of
from polyray.training.worker import own_device


class Squares(Protocol):
    """Sums of squared gradients."""

    @property
    def sums(self) -> dict[str, Tensor]:
        """The sums by name."""

    @property
    def n_squares(self) -> int:
        """Number of squares in each sum."""

    def add(self, losses: Callable[[], Tensor], size: int) -> None:
        """Add the squares for the losses of a batch of `size` examples."""


def prepared(recipe: FisherRecipe, backbone: Backbone, tasks: Sequence[str]) -> tuple[Modular, Squares]:
    """The network at the parameters where gradients are taken, and empty sums.

    Raises:
        InputError: a skill cannot be loaded or is of another backbone, or the networks of a task vector differ.
    """
    put_beneath(backbone, recipe.base)
    if recipe.at != "model":
        subtract(backbone, load_backbone(recipe.start or recipe.backbone), -1.0 if recipe.at.startswith("neg") else 1.0)
    model = bare(backbone, tasks).to(own_device()).eval()
    if recipe.skill:
        return model, _squares_of_skill(recipe, model)
    if recipe.statistic == "inner_products":
        return model, InnerProducts(model.network, partial(_included, recipe))
    kind = BatchSquares if recipe.scale == "reference" else DiagonalFisher
    return model, kind(model.network, partial(_included, recipe))


def subtract(backbone: Backbone, start: Backbone, sign: float) -> None:
    """Let the parameters of `backbone` be what was added to those of `start`, times `sign`.

    Raises:
        InputError: the networks have parameters of other names or shapes.
    """
    origin = dict(start.network.named_parameters())
    parameters = dict(backbone.network.named_parameters())
    odd = [name for name in parameters if name not in origin or origin[name].shape != parameters[name].shape]
    if odd or len(origin) != len(parameters):
        raise InputError(
            f"There is no task vector from {start.name} to {backbone.name}: their parameters differ"
            + (f", first {odd[0]!r}." if odd else ".")
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.sub_(origin[name]).mul_(sign)


def add_all(recipe: FisherRecipe, model: Modular, data: Encoded, squares: Squares) -> None:
    """Add the squares for all rows, batch by batch."""
    for begin in range(0, len(data.rows), recipe.at_once):
        rows = data.rows[begin : begin + recipe.at_once]
        batch = data.objective.collate(model.backbone, rows).to(own_device())
        squares.add(partial(_losses, recipe, model, data, batch, rows), len(rows))


def _losses(recipe: FisherRecipe, model: Modular, data: Encoded, batch: Batch, rows: Sequence[Any]) -> Tensor:
    """Negative log-likelihoods of the examples [B], of the sequence or for a token; scale=reference: one number."""
    generators = [_generator(recipe, row) for row in rows]
    with mixing(model.inventory, model.router(batch.tasks)):
        if recipe.labels == "gold":
            losses = data.objective.loss(model, batch)
        else:
            sampling = SAMPLINGS[data.objective.name]
            if recipe.scale == "reference":
                assert sampling.logits is not None  # the job checked it
                return released_loss(sampling.logits(model, batch), generators)
            losses = sampling.losses(model, batch, generators)
    return losses * batch.counts if recipe.scale == "sequence" else losses


def _generator(recipe: FisherRecipe, row: Any) -> torch.Generator:
    """The generator that draws the labels of one example, whatever stands beside it in a batch."""
    digest = hashlib.sha256(f"{recipe.seed} {row.example.task} {row.example.line}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))


def _included(recipe: FisherRecipe, name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in recipe.include)


def _squares_of_skill(recipe: FisherRecipe, model: Modular) -> Squares:
    """Put the skill in force on the network: empty sums of its own numbers."""
    skill, network = load_skill(Path(recipe.skill)), model.network
    check_backbone(skill.card, model.backbone.fingerprint)
    if skill.card.kind == KIND:
        return _squares_of_entries(recipe, skill, model)
    copies = inventory_of(skill, network, model.backbone.name, recipe.batch).to(own_device())
    copies.install(network, on_top=True)
    return ModulesFisher(network, copies)


def _squares_of_entries(recipe: FisherRecipe, skill: Skill, model: Modular) -> EntriesFisher:
    """Add a sparse delta to the network: empty sums of the entries that it changes."""
    delta = on_network(sparse_delta(skill), model.network, f"The skill {skill.card.name!r}")
    fold(skill, model.network)
    supports = {
        name: change.support.to(own_device()) for name, change in delta.changes.items() if _included(recipe, name)
    }
    return EntriesFisher(model.network, supports)
