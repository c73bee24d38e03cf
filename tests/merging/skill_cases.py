"""Skills on a tiny backbone that lies in a folder, and what they add to its parameters."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from polyray.backbones import Backbone, load_backbone
from polyray.modules.changes import SparseChange
from polyray.skills.card import BackboneCard, Card
from polyray.skills.delta import delta
from polyray.skills.skill import Skill, ancestor, load_skill, save_skill
from polyray.skills.sparse_delta import SparseDelta, sparse_skill

LAYER = "model.layers.0.mlp.down_proj"
OTHER = "model.layers.1.self_attn.q_proj"


def backbone_in(folder: Path, name: str = "tiny-causal") -> Backbone:
    """The tiny backbone, saved as a folder of transformers too."""
    backbone = load_backbone(name)
    backbone.model.save_pretrained(folder)
    return backbone


def card_of(backbone: Backbone) -> BackboneCard:
    return BackboneCard(name=backbone.name, fingerprint=backbone.fingerprint)


def save_lora(
    folder: Path, backbone: Backbone, *, seed: int, rank: int = 2, n_splits: int = 1, sites: tuple[str, ...] = (LAYER,)
) -> Path:
    """A LoRA skill with drawn factors."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for site in sites:
        rows, columns = backbone.network.get_parameter(f"{site}.weight").shape
        tensors[f"{site}/down.weight"] = torch.randn(n_splits, rank, columns // n_splits, generator=generator)
        tensors[f"{site}/up.weight"] = torch.randn(n_splits, rank, rows // n_splits, generator=generator)
    options: dict[str, float | int] = {"rank": rank, "alpha": 0.5, "n_splits": n_splits}
    card = Card(name=folder.name, kind="lora", backbone=card_of(backbone), sites=sites, options=options, tasks=("t",))
    save_skill(Skill(card=card, tensors=tensors), folder)
    return folder


def save_sparse(folder: Path, backbone: Backbone, *, seed: int, beneath: tuple[Path, ...] = ()) -> Path:
    """A sparse skill on three parameters, one of them the embeddings."""
    generator = torch.Generator().manual_seed(seed)
    changes = {}
    for name in ("model.embed_tokens.weight", f"{LAYER}.weight", "model.norm.weight"):
        shape = tuple(backbone.network.get_parameter(name).shape)
        size = torch.Size(shape).numel()
        support = torch.randperm(size, generator=generator)[: size // 3].sort().values.int()
        values = torch.randn(len(support), generator=generator)
        changes[name] = SparseChange(values=values, support=support, shape=shape)
    skill = sparse_skill(SparseDelta(changes=changes), name=folder.name, backbone=card_of(backbone), tasks=("t",))
    base = tuple(ancestor(path, folder) for path in beneath)
    save_skill(Skill(card=skill.card.model_copy(update={"base": base}), tensors=skill.tensors), folder)
    return folder


def with_changes(backbone: Backbone, skills: Mapping[Path, float]) -> dict[str, Tensor]:
    """The backbone's parameters with the weighted changes of skills."""
    parameters = {name: p.detach().clone() for name, p in backbone.network.named_parameters()}
    for folder, weight in skills.items():
        for name, change in delta(load_skill(folder), backbone.network).items():
            parameters[name] += weight * change.dense()
    return parameters
