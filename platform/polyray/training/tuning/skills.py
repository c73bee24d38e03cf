"""Skills as tunings leave them: tensors and card, to which the run adds where they come from."""

from dataclasses import replace

from polyray.skills.card import BackboneCard, Card
from polyray.skills.delta import fold
from polyray.skills.skill import HEADS, Skill
from polyray.skills.sparse_delta import SparseDelta, sparse_skill
from polyray.training.model import Modular

NAMELESS = BackboneCard(name="", fingerprint="")  # in place of what the run fills in


def skill_of_delta(delta: SparseDelta, model: Modular) -> Skill:
    """A sparse delta and the heads of `model` as a skill without provenance.

    The delta is of the network as it is, to which it is added, so that the model predicts as the saved skill will.
    """
    heads = {name: tensor.clone() for name, tensor in model.heads_state().items()}
    skill = sparse_skill(replace(delta, heads=heads), name="", backbone=NAMELESS)
    fold(skill, model.network)
    return skill


def skill_of_modules(model: Modular) -> Skill:
    """The only skill of the inventory on a backbone, and the heads, as a skill without provenance."""
    inventory = model.inventory
    card = Card(
        name="", kind=inventory.kind, backbone=NAMELESS, sites=inventory.sites,
        options=inventory.options.model_dump(mode="json"),
    )  # fmt: skip
    heads = {f"{HEADS}{key}": tensor for key, tensor in model.heads_state().items()}
    return Skill(card=card, tensors={**inventory.skill(0), **heads})
