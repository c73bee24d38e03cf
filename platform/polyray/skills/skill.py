"""A skill on disk: its tensors and the card that says what they belong to."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from polyray.errors import InputError
from polyray.files import write_file, writing
from polyray.files.disk import disk
from polyray.skills.card import (
    CARD,
    Ancestor,
    Card,
    TrainedBackbone,
    check_card_seal,
    check_sums,
    read_card,
    sealed,
)
from polyray.skills.fingerprint import fingerprint
from polyray.skills.tensors import load_tensors, save_tensors

TENSORS = "skill.safetensors"
NO_SKILL = "{} holds no skill"  # beginning of a message, completed by the folder
HEADS = "heads/"  # how the names of a head's tensors begin


@dataclass(frozen=True, eq=False, kw_only=True)
class Skill:
    """One module at every site, the heads trained with it, and the card.

    tensors: SITE/PARAMETER, each [heads of multi-head routing, *shape], and heads/KEY/PARAMETER.
    """

    card: Card
    tensors: Mapping[str, Tensor]

    @property
    def modules(self) -> dict[str, Tensor]:
        """The tensors of the modules, without heads."""
        return {name: tensor for name, tensor in self.tensors.items() if not name.startswith(HEADS)}

    @property
    def heads(self) -> dict[str, Tensor]:
        """The tensors of the heads as KEY/PARAMETER."""
        return {name.removeprefix(HEADS): x for name, x in self.tensors.items() if name.startswith(HEADS)}


def save_skill(skill: Skill, folder: Path) -> Card:
    """Write the skill's folder, whole or not at all; one that stood there is replaced. The card as it was written.

    Raises:
        StorageError: the disk refused.
    """
    with writing(folder) as temporary:
        save_tensors(skill.tensors, temporary / TENSORS)
        sums = {TENSORS: disk().digest(temporary / TENSORS)}
        card = skill.card.model_copy(update={"sha256": sums, "fingerprint": fingerprint(skill.tensors)})
        write_file(temporary / CARD, sealed(card))
    return card


def load_skill(folder: Path) -> Skill:
    """The skill in `folder`, its sums checked.

    Raises:
        InputError: a file is missing, unreadable or altered, the card has a wrong field, or a tensor is no parameter.
    """
    card = read_card(folder / CARD, Card, NO_SKILL.format(folder))
    if TENSORS not in card.sha256:
        raise InputError(f"{folder / CARD}: sha256: has no sum of {TENSORS}, so nothing shows that it is whole.")
    check_sums(folder, card.sha256, CARD)
    tensors = load_tensors(folder / TENSORS)
    check_card_seal(folder / CARD)
    if fingerprint(tensors) != card.fingerprint:
        raise InputError(f"{folder / CARD}: fingerprint is not that of the tensors.")
    return Skill(card=card, tensors=tensors)


def load_trained_backbone(folder: Path, trained: TrainedBackbone) -> dict[str, Tensor]:
    """The backbone's tensors that were trained together with the skill in `folder`, whose card names their file.

    Raises:
        InputError: the file is not where the card says, or was altered.
    """
    file = folder / trained.path
    if not file.is_file() or disk().digest(file) != trained.sha256:
        state = "altered" if file.is_file() else "missing"
        raise InputError(
            f"The skill in {folder} sits on a backbone that was trained with it, whose file is {state}: {file}. "
            "Put the skill back to where its run is, or lift it there again."
        )
    return load_tensors(file)


def load_card(folder: Path) -> Card:
    """The card of the skill in `folder`, without its tensors.

    Raises:
        InputError: there is none, it has a wrong field, or it was altered.
    """
    card = read_card(folder / CARD, Card, NO_SKILL.format(folder))
    check_card_seal(folder / CARD)
    return card


def ancestor(folder: Path, seen_from: Path) -> Ancestor:
    """The skill in `folder` as an ancestor of one that is written to the folder `seen_from`.

    Raises:
        InputError: there is no skill in `folder`.
    """
    card = load_card(folder)
    path = os.path.relpath(folder.resolve(), seen_from.resolve())
    return Ancestor(name=card.name, path=path, fingerprint=card.fingerprint)


def seen_from(out: Path, folder: Path, other: Ancestor) -> Ancestor:
    """A skill that the card in `folder` names, as a card in `out` names it."""
    path = os.path.relpath((folder / other.path).resolve(), out.resolve())
    return other.model_copy(update={"path": path})
