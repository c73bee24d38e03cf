"""Pieces of a pass over examples, each summed by one worker, and the mean over all of them as a folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from polyray.backbones import load_backbone
from polyray.files import make_folders, remove_folder, write_file, writing
from polyray.files.disk import disk
from polyray.runs.notes import note_outcome, outcome_noted
from polyray.skills.skill import ancestor
from polyray.skills.tensors import load_tensors, save_tensors
from polyray.tasks import Suite, load_suite
from polyray.training.data import encoded_once, examples_fingerprint, partition_tasks
from polyray.training.fisher.recipe import FisherRecipe, chosen_examples
from polyray.training.fisher.sums import add_all, prepared

FISHER, CARD, TENSORS = "fisher", "fisher.json", "fisher.safetensors"
PIECES, RECORD = "pieces", "piece.json"  # folder of sums that are computed already; note in each of them
SCHEMA = 2  # 1 had gold labels of whole networks alone


@dataclass(frozen=True, kw_only=True)
class FisherPiece:
    """The examples of one piece (`FisherRecipe.of_piece`); sums go below `out`."""

    recipe: FisherRecipe
    index: int
    out: Path

    def moved(self, out: Path) -> Self:
        """The same piece with another folder."""
        return replace(self, out=out)

    @property
    def folder(self) -> Path:
        """The folder of its sums."""
        return self.out / PIECES / f"{self.index:05}"


def sum_piece(piece: FisherPiece) -> dict[str, Any]:
    """Sum the squared gradients of a piece's examples, unless they are there already: how many, and of what.

    Raises:
        InputError: a parameter, a skill or an example does not fit.
        StorageError: the disk refused.
    """
    recipe = piece.recipe
    earlier = outcome_noted(piece.folder / RECORD, recipe.fingerprint)
    if earlier is not None:
        return earlier
    suite = load_suite(recipe.tasks)
    backbone = load_backbone(recipe.backbone)
    examples = recipe.of_piece(chosen_examples(recipe, suite), piece.index)
    data = encoded_once(backbone, suite, examples, recipe.text)
    model, squares = prepared(recipe, backbone, partition_tasks(suite, "train"))
    add_all(recipe, model, data, squares)
    outcome = {
        "n_examples": len(data.rows), "n_squares": squares.n_squares,
        "too_long": sum(row.cut for row in data.rows),
        "backbone": {"name": backbone.name, "fingerprint": backbone.fingerprint},
    }  # fmt: skip
    make_folders(piece.folder.parent)
    with writing(piece.folder) as folder:
        save_tensors(squares.sums, folder / TENSORS)
        note_outcome(folder / RECORD, recipe.fingerprint, outcome)
    return outcome


def add_up(
    recipe: FisherRecipe, out: Path, counts: Mapping[str, int], suite: Suite, backbone: Mapping[str, str]
) -> dict[str, Any]:
    """Write the folder `out/fisher`, the mean over squares with its card: the card.

    Args:
        counts: numbers of examples and of squares, over all pieces.
        backbone: name and fingerprint of the network, as the pieces give them.

    Raises:
        InputError: a file of sums is damaged.
        StorageError: the disk refused.
    """
    total: dict[str, Tensor] = {}
    for index in range(recipe.pieces):
        sums = load_tensors(FisherPiece(recipe=recipe, index=index, out=out).folder / TENSORS)
        total = {name: total[name].add_(x) for name, x in sums.items()} if total else sums
    examples = chosen_examples(recipe, suite)
    with writing(out / FISHER) as folder:
        save_tensors({name: x.div_(counts["n_squares"]) for name, x in total.items()}, folder / TENSORS)
        card = {
            "schema": SCHEMA, "recipe": recipe.model_dump(mode="json"), "labels": recipe.labels,
            "n_examples": counts["n_examples"], "examples": examples_fingerprint(examples), "backbone": backbone,
            "skill": ancestor(Path(recipe.skill), out / FISHER).model_dump() if recipe.skill else None,
            "sha256": {TENSORS: disk().digest(folder / TENSORS)},
        }  # fmt: skip
        write_file(folder / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    remove_folder(out / PIECES)
    return card
