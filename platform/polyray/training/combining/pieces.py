"""Scores of all candidate answers by one skill or by merged ones, and where the backbone puts the inputs."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of, evaluating, longest_first
from polyray.backbones.text import padded
from polyray.files import make_folders, remove_folder, writing
from polyray.formats import file_name
from polyray.modules.site import without_skills
from polyray.objectives.choices import mean_embedding
from polyray.objectives.ranking import RANKINGS
from polyray.runs.notes import note_outcome, outcome_noted
from polyray.skills.skill import load_card, load_skill
from polyray.skills.tensors import load_tensors, save_tensors
from polyray.tasks import Suite, load_suite
from polyray.training.combining.recipe import CombineRecipe
from polyray.training.data import encoded, first_examples
from polyray.training.model import Modular, backbone_of, bare
from polyray.training.skill_source import SkillSource
from polyray.training.transfer.merged_cells import merge_skills
from polyray.training.worker import own_device

SCORES, TENSORS, NOTE = "scores", "scores.safetensors", "note.json"
BACKBONE = "backbone"  # the piece of the embeddings
CHOSEN_ON = "dev"  # the split that ensembles are chosen on


@dataclass(frozen=True, kw_only=True)
class CombinedPiece:
    """One skill, some skills merged, or none, which gives the embeddings of inputs.

    way: key of `recipe.ways`; empty for one skill, or none. folders: of the skills. tasks: whose examples are scored.
    """

    recipe: CombineRecipe
    out: Path
    name: str
    folders: tuple[Path, ...]
    tasks: tuple[str, ...]
    way: str = ""

    def moved(self, out: Path) -> Self:
        """The same piece with another folder."""
        return replace(self, out=out)

    @property
    def folder(self) -> Path:
        """The folder of its scores."""
        return self.out / SCORES / file_name(self.name)

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that decides its scores."""
        way = self.recipe.ways[self.way].model_dump(mode="json") if self.way else None
        skills = [load_card(folder).fingerprint for folder in self.folders]
        decisive = [self.recipe.fingerprint, skills, way, self.tasks, self.name == BACKBONE]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def tensors(self) -> dict[str, Tensor]:
        """Its scores; see `score_piece` and `embed_piece`."""
        return load_tensors(self.folder / TENSORS)


def work_on(piece: CombinedPiece) -> dict[str, Any]:
    """Write the tensors of a piece, unless they are there already.

    Raises:
        InputError: a skill is damaged, or an example is too long or has no candidates.
        StorageError: the disk refused.
    """
    earlier = outcome_noted(piece.folder / NOTE, piece.fingerprint)
    if earlier is not None:
        return earlier
    suite = load_suite(piece.recipe.tasks)
    tensors, too_long = (_embeddings if piece.name == BACKBONE else _scores)(piece, suite)
    outcome = {"too_long": too_long}
    make_folders(piece.folder.parent)
    if piece.folder.exists():  # of other skills, or of another config
        remove_folder(piece.folder)
    with writing(piece.folder) as folder:
        save_tensors(tensors, folder / TENSORS)
        note_outcome(folder / NOTE, piece.fingerprint, outcome)
    return outcome


def examples_of(recipe: CombineRecipe, suite: Suite, tasks: Sequence[str], split: str) -> list[Any]:
    """The examples of a split, task after task."""
    limit = recipe.evaluation.max_examples
    return [x for name in tasks for x in first_examples(suite.tasks[name], split, None, limit)]


def _scores(piece: CombinedPiece, suite: Suite) -> tuple[dict[str, Tensor], int]:
    """For each split the scores of all candidates of one example after the other, [candidates]; texts cut."""
    recipe = piece.recipe
    model = _merged(piece) if piece.way else SkillSource.of(piece.folders[0]).load(piece.tasks)
    model.to(own_device())
    tensors, too_long = {}, 0
    for split in dict.fromkeys((CHOSEN_ON, recipe.split)):
        with without_skills(model.inventory):
            data = encoded(model.backbone, suite, examples_of(recipe, suite, piece.tasks, split), recipe.text)
        ranking = RANKINGS[data.objective.name]
        scores = ranking.candidate_scores(model, data.rows, recipe.evaluation.batch)
        tensors[split] = torch.tensor([score for row in scores for score in row])
        too_long += sum(row.cut for row in data.rows)
    return tensors, too_long


def _merged(piece: CombinedPiece) -> Modular:
    """The backbone with the skills of the piece merged into it."""
    skills = [load_skill(folder) for folder in piece.folders]
    backbone = _pretrained(piece)
    backbone.original = lambda: _pretrained(piece).model  # answers are embedded by the network as it was
    merge_skills(backbone.network, skills, piece.recipe.ways[piece.way], seed=0)
    return bare(backbone, piece.tasks).eval()


def _pretrained(piece: CombinedPiece) -> Backbone:
    card = load_card(piece.folders[0]).backbone
    return backbone_of(card, piece.folders[0], "card", trained=False)


def _embeddings(piece: CombinedPiece, suite: Suite) -> tuple[dict[str, Tensor], int]:
    """For each split the embeddings of all inputs [examples, features]; training examples stand under their task."""
    recipe, backbone = piece.recipe, _pretrained(piece)
    backbone.network.to(own_device())
    tensors = {}
    for name in piece.tasks:
        rows = encoded(backbone, suite, examples_of(recipe, suite, [name], "train"), recipe.text).rows
        tensors[f"train/{name}"] = embedded(backbone, [row.input for row in rows], recipe.evaluation.batch)
    rows = encoded(backbone, suite, examples_of(recipe, suite, piece.tasks, recipe.split), recipe.text).rows
    tensors[recipe.split] = embedded(backbone, [row.input for row in rows], recipe.evaluation.batch)
    return tensors, 0


@torch.no_grad()
def embedded(backbone: Backbone, inputs: Sequence[Sequence[int]], size: int) -> Tensor:
    """Mean over the tokens of each input of what the network last computes of it (its encoder, if it has one).

    inputs: token numbers -> [inputs, features], each of length 1.
    """
    device, vectors = device_of(backbone.network), dict[int, Tensor]()
    with evaluating(backbone.network):
        for indices in longest_first([len(tokens) for tokens in inputs], size):
            tokens = padded([inputs[index] for index in indices], backbone.text.pad)
            mask = tokens.mask.to(device)
            hidden = backbone.reader(input_ids=tokens.ids.to(device), attention_mask=mask).last_hidden_state
            vectors.update(zip(indices, mean_embedding(hidden, mask).cpu(), strict=True))
    return torch.stack([vectors[index] for index in range(len(inputs))])
