"""Fisher information of a pretrained network's parameters on the examples of a suite."""

import fnmatch
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, field_validator
from torch import Tensor

from polyray.backbones import load_backbone
from polyray.errors import InputError
from polyray.files import make_folders, remove_folder, write_file, writing
from polyray.files.disk import disk
from polyray.fisher import DiagonalFisher
from polyray.formats import is_file, read_json_object
from polyray.modules.site import mixing
from polyray.objectives import Batch, TextOptions
from polyray.skills.tensors import load_tensors, save_tensors
from polyray.tasks import Suite, load_suite
from polyray.training.beneath import put_beneath
from polyray.training.data import Encoded, encoded_once, examples_fingerprint, partition_tasks, pooled_examples
from polyray.training.model import Modular, bare
from polyray.training.recipe import SuiteConfig
from polyray.training.worker import own_device

FISHER, CARD, TENSORS = "fisher", "fisher.json", "fisher.safetensors"
PIECES, RECORD = "pieces", "piece.json"  # folder of sums that are computed already; note in each of them
SCHEMA = 1


class FisherRecipe(SuiteConfig):
    """The network, the examples, and the scale of Fisher information."""

    files: ClassVar[frozenset[str]] = frozenset({"backbone", "base"})

    backbone: str = "tiny-seq2seq"
    """Network whose parameters are looked at: a folder, or a name; see `polyray list backbones`."""
    base: tuple[str, ...] = ()
    """Folders of skills that are added to the network's parameters before."""
    split: Literal["train", "dev", "test"] = "train"
    """Examples of the training tasks that are looked at."""
    n: int = Field(0, ge=0)
    """Examples, drawn without replacement; 0: all."""
    scale: Literal["sequence", "token"] = "sequence"
    """An example's loss is the sum over its predicted tokens (words, answers), or their mean."""
    include: tuple[str, ...] = ("*",)
    """Patterns of names of parameters that are looked at."""
    batch: int = Field(8, ge=1)
    """Examples at once; the result is the same for every size, up to rounding."""
    pieces: int = Field(4, ge=1)
    """Pieces of work. Each is one Ray task; their sums are added in their order, so that the number of workers does not
    change a bit."""
    seed: int = Field(0, ge=0)
    """Seed of the draw of examples."""
    text: TextOptions = TextOptions()
    """Lengths of texts."""

    @field_validator("include")
    @classmethod
    def _some(cls, include: tuple[str, ...]) -> tuple[str, ...]:
        if not include:
            raise ValueError("expected at least one pattern of names of parameters")
        return include


@dataclass(frozen=True, kw_only=True)
class FisherPiece:
    """Every n-th example, n = recipe.pieces, from the example `index` on; sums go below `out`."""

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


def chosen_examples(recipe: FisherRecipe, suite: Suite) -> tuple[Any, ...]:
    """The examples that are looked at, in the order in which they were drawn.

    Raises:
        InputError: there are none, or fewer than were asked for.
    """
    tasks = partition_tasks(suite, "train")
    examples = [x for task in tasks for x in pooled_examples(suite.tasks[task], (recipe.split,))]
    if not examples or recipe.n > len(examples):
        raise InputError(f"n={recipe.n}: the training tasks have {len(examples)} {recipe.split} examples in all.")
    generator = torch.Generator().manual_seed(recipe.seed)
    order = torch.randperm(len(examples), generator=generator).tolist()
    return tuple(examples[index] for index in order[: recipe.n or len(order)])


def sum_piece(piece: FisherPiece) -> dict[str, Any]:
    """Sum the squared gradients of a piece's examples, unless they are there already: how many, and of what.

    Raises:
        InputError: a parameter or an example does not fit.
        StorageError: the disk refused.
    """
    recipe = piece.recipe
    fingerprint = _fingerprint(recipe)
    if is_file(piece.folder / RECORD):
        outcome = read_json_object(piece.folder / RECORD)
        if outcome.pop("fingerprint", "") == fingerprint:
            return outcome
    suite = load_suite(recipe.tasks)
    backbone = load_backbone(recipe.backbone)
    examples = chosen_examples(recipe, suite)[piece.index :: recipe.pieces]
    data = encoded_once(backbone, suite, examples, recipe.text)
    put_beneath(backbone, recipe.base)
    model = bare(backbone, partition_tasks(suite, "train")).to(own_device()).eval()
    sums = _sums(recipe, model, data)
    network = {"name": backbone.name, "fingerprint": backbone.fingerprint}
    outcome = {"n_examples": len(data.rows), "too_long": sum(row.cut for row in data.rows), "backbone": network}
    make_folders(piece.folder.parent)
    with writing(piece.folder) as folder:
        save_tensors(sums, folder / TENSORS)
        write_file(folder / RECORD, json.dumps({"fingerprint": fingerprint, **outcome}))
    return outcome


def _sums(recipe: FisherRecipe, model: Modular, data: Encoded) -> dict[str, Tensor]:
    """Sums of squared gradients of the network's parameters that `recipe.include` names."""
    fisher = DiagonalFisher(model.network, lambda name: any(fnmatch.fnmatchcase(name, p) for p in recipe.include))
    objective, rows = data.objective, data.rows
    for start in range(0, len(rows), recipe.batch):
        batch = objective.collate(model.backbone, rows[start : start + recipe.batch]).to(own_device())
        fisher.add(partial(_losses, recipe, model, data, batch), len(batch.tasks))
    return fisher.sums


def _losses(recipe: FisherRecipe, model: Modular, data: Encoded, batch: Batch) -> Tensor:
    """Negative log-likelihood of each example [B], of the whole sequence or for a token."""
    with mixing(model.inventory, model.router(batch.tasks)):
        losses = data.objective.loss(model, batch)
    return losses * batch.counts if recipe.scale == "sequence" else losses


def _fingerprint(recipe: FisherRecipe) -> str:
    return hashlib.sha256(json.dumps(recipe.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def add_up(
    recipe: FisherRecipe, out: Path, n_examples: int, suite: Suite, backbone: Mapping[str, str]
) -> dict[str, Any]:
    """Write the folder `out/fisher`, the mean over examples with its card: the card.

    Args:
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
        save_tensors({name: x.div_(n_examples) for name, x in total.items()}, folder / TENSORS)
        card = {
            "schema": SCHEMA, "recipe": recipe.model_dump(mode="json"), "labels": "gold",
            "n_examples": n_examples, "examples": examples_fingerprint(examples),
            "backbone": backbone,
            "sha256": {TENSORS: disk().digest(folder / TENSORS)},
        }  # fmt: skip
        write_file(folder / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    remove_folder(out / PIECES)
    return card
