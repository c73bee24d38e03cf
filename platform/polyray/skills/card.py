"""Cards: where a skill comes from, the backbone it belongs to, and the sums that show that it is whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polyray import __version__
from polyray.config import first_problem
from polyray.errors import InputError
from polyray.files.disk import disk
from polyray.formats import parse_json_object, read_document
from polyray.runs.sealed import check_seal, seal
from polyray.skills.form import TaskForm

CARD = "card.json"
SEAL = "card_sha256"  # key beside a card's fields
SCHEMA = 2  # version of the layout of skill and inventory folders; 1 lacked forms, trained_backbone, sums of cards

BackboneDtype = Literal["fp32", "bf16", "int8", "nf4"]
"""Number format of a backbone's weights."""

AnyCard = TypeVar("AnyCard", bound=BaseModel)


class FullBackbone(BaseModel):
    """The network whose vocabulary was trimmed, with n_pieces rows; rows_sha256: of the file that maps the pieces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    revision: str = ""
    fingerprint: str
    n_pieces: int
    rows_sha256: str = ""


class BackboneCard(BaseModel):
    """The network that a skill was trained on.

    dtype: number format of its weights while the skill was trained; the fingerprint is of the weights in the file.
    options: the network's own, where it is built from options and not loaded by name (an agent's network).
    trimmed_from: the full network, where this one is a copy with fewer pieces.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str = ""
    revision: str = ""
    fingerprint: str
    dtype: BackboneDtype = "fp32"
    options: dict[str, Any] = Field(default_factory=dict)
    trimmed_from: FullBackbone | None = None


class Ancestor(BaseModel):
    """Another skill: its name, its folder as seen from the folder of the skill that names it, its fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    path: str = ""
    fingerprint: str


class Parent(Ancestor):
    """A skill that this one is a weighted sum of.

    weights: [sites or 1][heads], in the order of the card's sites; exact, so that the sum can be computed again.
    """

    weights: tuple[tuple[float, ...], ...]


class TrainedBackbone(BaseModel):
    """A file with the backbone's tensors as training left them, as seen from the folder of a skill on that backbone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str


class Card(BaseModel):
    """Name, kind, backbone, sites, provenance and sums of a skill."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA
    name: str
    kind: str  # key of MODULES
    backbone: BackboneCard
    sites: tuple[str, ...]
    options: dict[str, float | int]  # of the modules
    tasks: tuple[str, ...] = ()
    seed: int = 0
    parents: tuple[Parent, ...] = ()  # the skill is their weighted sum
    started_from: tuple[Ancestor, ...] = ()  # its training began with these skills
    merged_from: tuple[Ancestor, ...] = ()  # it was merged from these skills, as `merge` says
    merge: dict[str, Any] = Field(default_factory=dict)  # method, options, weights and figures of a merge
    lifted_from: Ancestor | None = None  # the same skill on a trimmed copy of the backbone
    base: tuple[Ancestor, ...] = ()  # these skills were in force beneath it while it was trained
    sources: dict[str, tuple[Ancestor, ...]] = Field(default_factory=dict)  # as base, for the batches of one task
    method: str = ""  # by which it was trained, where there is a choice: a key of TUNINGS
    recipe: str = ""  # fingerprint of all that decides how it was trained
    forms: dict[str, TaskForm] = Field(default_factory=dict)  # of its tasks, where it is the one skill that they use
    trained_backbone: TrainedBackbone | None = None  # of such a skill, where the backbone was trained with it
    metrics: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, str] = Field(default_factory=dict)  # fingerprints of the examples that it was trained on, by task
    polyray: str = __version__
    fingerprint: str = ""  # of the tensors; filled in by save_skill
    sha256: dict[str, str] = Field(default_factory=dict)  # of each tensor file; filled in by save_skill


def sealed(card: BaseModel) -> str:
    """The text of a card's file: its fields, and the sha256 of them."""
    return seal(json.loads(card.model_dump_json()), SEAL)


def check_card_seal(file: Path) -> None:
    """Compare a card's fields, which were read already, with the sha256 that stands beside them.

    Raises:
        InputError: a field was altered, or the card has no sum.
    """
    fields = json.loads(file.read_text(encoding="utf-8"))
    if SEAL in fields or fields.get("schema_version", SCHEMA) >= SCHEMA:  # cards of schema 1 had no sum
        check_seal(fields, file, SEAL)


def read_card(file: Path, kind: type[AnyCard], otherwise: str) -> AnyCard:
    """The card in a JSON file, its own sum not checked; otherwise: the message's beginning where it cannot be read.

    Raises:
        InputError: the file cannot be read, has a wrong field, or was written by a newer Polyray.
    """
    try:
        text = read_document(file)
    except InputError as error:
        raise InputError(f"{otherwise}: {error}") from None
    try:
        card = kind.model_validate_json(_without_seal(text))
    except ValidationError as error:
        _refuse_newer(text, file)
        raise InputError(f"{file}: {first_problem(error)}.") from None
    _refuse_newer(text, file)
    parse_json_object(text, file)  # no key twice, no half character
    return card


def _without_seal(text: str) -> str:
    """The JSON text of the fields alone; a text that is no JSON object stays as it is."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps({name: x for name, x in fields.items() if name != SEAL}) if isinstance(fields, dict) else text


class _Schema(BaseModel):
    """The one field that every version of a card has."""

    schema_version: int = SCHEMA


def _refuse_newer(text: str, file: Path) -> None:
    try:
        schema = _Schema.model_validate_json(text).schema_version
    except ValidationError:
        return
    if schema > SCHEMA:
        raise InputError(
            f"{file} has the schema version {schema}; this Polyray ({__version__}) reads versions up to {SCHEMA}. "
            "Install a newer Polyray."
        )


def check_sums(folder: Path, sums: Mapping[str, str], card: str) -> None:
    """Compare the files in `folder` with their sha256 `sums`, which stand in the file `card`.

    Raises:
        InputError: one is missing, has another sum, or is not in the folder itself; or the folder holds other files.
    """
    for name, expected in sums.items():
        if Path(name).name != name or name in ("..", card):
            raise InputError(f"{folder / card}: sha256: {name!r} is no name of a file in {folder}.")
        file = folder / name
        if not file.is_file():
            raise InputError(f"{folder} is not whole: {name} is missing.")
        if disk().digest(file) != expected:
            raise InputError(f"{file} was altered or cut short: its sha256 is not the one in {card}.")
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    others = [name for name in names if name not in (*sums, card)]
    if others:
        raise InputError(f"{folder} also holds {others[0]!r}, which {card} does not list: remove it.")


def check_backbone(card: Card, fingerprint: str) -> None:
    """Refuse a backbone that a skill was not trained on.

    Raises:
        InputError: the fingerprints differ.
    """
    if card.backbone.fingerprint != fingerprint:
        full = card.backbone.trimmed_from
        if full is not None and full.fingerprint == fingerprint:
            raise InputError(
                f"Skill {card.name!r} was trained on a trimmed copy of this backbone: write it anew for the full one, "
                "polyray skills lift SKILL OUT --to BACKBONE."
            )
        raise InputError(
            f"Skill {card.name!r} was trained on the backbone {card.backbone.name!r} with the fingerprint "
            f"{card.backbone.fingerprint[:12]}, this one has {fingerprint[:12]}: load the same weights."
        )
