"""The vocabulary of a trimmed backbone: the row that each of its pieces has in the full one."""

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from polyray import __version__
from polyray.errors import InputError
from polyray.files import write_file
from polyray.files.disk import disk
from polyray.skills.card import FullBackbone, check_card_seal, read_card, sealed
from polyray.skills.tensors import load_tensors, save_tensors

CARD, TENSORS, ROWS = "vocabulary.json", "vocabulary.safetensors", "rows"


class VocabularyCard(BaseModel):
    """vocabulary.json: the backbone that was trimmed, and how many pieces are left.

    report: what trimming saved.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    full: FullBackbone
    n_pieces: int
    report: dict[str, Any]
    polyray: str = __version__


def write_vocabulary(folder: Path, full: FullBackbone, rows: Tensor, report: dict[str, Any]) -> None:
    """Write the mapping into a folder that is itself written whole.

    rows [pieces]: ascending numbers in the full vocabulary.

    Raises:
        StorageError: the disk refused.
    """
    save_tensors({ROWS: rows.to(torch.int32)}, folder / TENSORS)
    full = full.model_copy(update={"rows_sha256": disk().digest(folder / TENSORS)})
    write_file(folder / CARD, sealed(VocabularyCard(full=full, n_pieces=len(rows), report=report)))


def full_backbone(folder: Path) -> FullBackbone | None:
    """The backbone of which the one in `folder` is a trimmed copy; None if it is none.

    Raises:
        InputError: vocabulary.json was altered.
    """
    if not (folder / CARD).is_file():
        return None
    card = read_card(folder / CARD, VocabularyCard, f"{folder} holds no trimmed backbone")
    check_card_seal(folder / CARD)
    return card.full


def read_rows(folder: Path, full: FullBackbone) -> Tensor:
    """The rows [pieces] in `full`, ascending, of the pieces of the trimmed backbone in `folder`.

    Raises:
        InputError: the file is not there, or is not the one that `full` names.
    """
    file = folder / TENSORS
    if not file.is_file() or disk().digest(file) != full.rows_sha256:
        state = "is another one" if file.is_file() else "is missing"
        raise InputError(
            f"{file}, which says where each piece stands in {full.name}, {state}: expected the one of the trimmed "
            "backbone that the skill was trained on."
        )
    rows = load_tensors(file)[ROWS].long()
    rises = bool((rows[1:] > rows[:-1]).all()) and len(rows) and int(rows[0]) >= 0 and int(rows[-1]) < full.n_pieces
    if not rises:
        raise InputError(f"{file}: {ROWS}: expected ascending numbers below {full.n_pieces}.")
    return rows
