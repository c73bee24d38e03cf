"""inventory.json: the card of an inventory, and the checks that show that its folder is whole."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from polyray import __version__
from polyray.errors import InputError
from polyray.skills.card import SCHEMA, BackboneCard, check_card_seal, check_sums, read_card
from polyray.skills.form import TaskForm
from polyray.skills.spec import InventorySpec

FOLDER, CARD, ROUTER, BACKBONE = "inventory", "inventory.json", "router.safetensors", "backbone.safetensors"


class InventoryCard(BaseModel):
    """inventory.json: spec, tasks and their forms, skills and backbone of an inventory, and the sums of its files.

    fingerprints: those of the skills' tensors, in the order of `skills`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA
    spec: InventorySpec
    suite: str
    tasks: tuple[str, ...]
    forms: dict[str, TaskForm] = Field(default_factory=dict)
    skills: tuple[str, ...]
    fingerprints: tuple[str, ...] = ()
    backbone: BackboneCard
    polyray: str = __version__
    sha256: dict[str, str]


def read_inventory_card(folder: Path) -> InventoryCard:
    """The card of the inventory in `folder`, the sums of its files checked.

    Raises:
        InputError: there is none, a file is missing, altered or not listed, or skills have wrong names.
    """
    card = read_card(folder / FOLDER / CARD, InventoryCard, f"{folder} holds no inventory of skills")
    file = folder / FOLDER / CARD
    if ROUTER not in card.sha256:
        raise InputError(f"{file}: sha256: has no sum of {ROUTER}, so nothing shows that it is whole.")
    check_sums(folder / FOLDER, card.sha256, CARD)
    check_card_seal(file)
    odd = [name for name in card.skills if Path(name).name != name or name == ".."]
    if odd:
        raise InputError(f"{file}: skills: {odd[0]!r} is no name of a folder in {folder}.")
    n_fingerprints = len(card.skills) if card.schema_version == SCHEMA else 0  # those of schema 1 had none
    if not card.skills or len(set(card.skills)) != len(card.skills) or len(card.fingerprints) != n_fingerprints:
        raise InputError(f"{file}: skills and fingerprints must be equally many, at least one, and name none twice.")
    return card
