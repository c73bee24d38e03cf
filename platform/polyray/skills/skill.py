"""A skill on disk: its tensors and a card that says what they belong to."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyray import __version__
from polyray.errors import InputError
from polyray.files import writing

TENSORS, CARD = "skill.safetensors", "card.json"

AnyCard = TypeVar("AnyCard", bound=BaseModel)


class BackboneCard(BaseModel):
    """The network that a skill was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    revision: str = ""
    fingerprint: str


class Parent(BaseModel):
    """A skill that another one was made from, and with what weight."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    weight: float


class Card(BaseModel):
    """What a skill is, where it comes from, and the sums that show it is whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str  # key of MODULES
    backbone: BackboneCard
    sites: tuple[str, ...]
    options: dict[str, float | int]  # of the modules
    tasks: tuple[str, ...] = ()
    seed: int = 0
    parents: tuple[Parent, ...] = ()
    metrics: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, str] = Field(default_factory=dict)  # fingerprints of what it was trained on
    polyray: str = __version__
    sha256: dict[str, str] = Field(default_factory=dict)  # of each tensor file; filled in by save_skill


@dataclass(frozen=True, eq=False, kw_only=True)
class Skill:
    """One module at every site: tensors SITE/PARAMETER, each [heads, *shape], and the card."""

    card: Card
    tensors: Mapping[str, Tensor]


def save_skill(skill: Skill, folder: Path) -> None:
    """Write the skill's folder, whole or not at all; one that stood there is replaced."""
    with writing(folder) as temporary:
        save_file({name: _own(tensor) for name, tensor in skill.tensors.items()}, temporary / TENSORS)
        card = skill.card.model_copy(update={"sha256": {TENSORS: sha256(temporary / TENSORS)}})
        (temporary / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _own(tensor: Tensor) -> Tensor:
    """`tensor` as safetensors wants it: on the CPU, in one piece, sharing its memory with no other."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def load_skill(folder: Path) -> Skill:
    """The skill in `folder`, its sums checked.

    Raises:
        InputError: a file is missing, unreadable or altered, or the card has a wrong field.
    """
    card = load_card(folder)
    if TENSORS not in card.sha256:
        raise InputError(f"{folder / CARD}: sha256: has no sum of {TENSORS}, so nothing shows that it is whole.")
    check_sums(folder, card.sha256, CARD)
    try:
        return Skill(card=card, tensors=load_file(folder / TENSORS))
    except (OSError, SafetensorError) as error:
        raise InputError(f"Cannot read {folder / TENSORS}: {error}") from None


def load_card(folder: Path) -> Card:
    """The card of the skill in `folder`, without its tensors.

    Raises:
        InputError: there is none, or it has a wrong field.
    """
    return read_card(folder / CARD, Card, f"{folder} holds no skill")


def read_card(file: Path, kind: type[AnyCard], otherwise: str) -> AnyCard:
    """The card in a JSON file; otherwise: what is wrong where it cannot be read, the beginning of the message.

    Raises:
        InputError: the file cannot be read, or has a wrong field.
    """
    try:
        return kind.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{otherwise}: cannot read {file}: {error}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise InputError(f"{file}: {where}: {problem['msg']}.") from None


def check_sums(folder: Path, sums: Mapping[str, str], card: str) -> None:
    """Compare the files in `folder` with their sha256 `sums`, which stand in the file `card`.

    Raises:
        InputError: one is missing, or has another sum.
    """
    for name, wanted in sums.items():
        file = folder / name
        if not file.is_file():
            raise InputError(f"{folder} is not whole: {name} is missing.")
        if sha256(file) != wanted:
            raise InputError(f"{file} was altered or cut short: its sha256 is not the one in {card}.")


def check_backbone(card: Card, fingerprint: str) -> None:
    """Refuse a backbone that a skill was not trained on.

    Raises:
        InputError: the fingerprints differ.
    """
    if card.backbone.fingerprint != fingerprint:
        raise InputError(
            f"Skill {card.name!r} was trained on the backbone {card.backbone.name!r} with the fingerprint "
            f"{card.backbone.fingerprint[:12]}, this one has {fingerprint[:12]}: load the same weights."
        )


def sha256(file: Path) -> str:
    """The sha256 of a file, as a hexadecimal number."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
