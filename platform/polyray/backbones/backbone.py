"""A pretrained network, how it reads text, and what training it means."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from polyray.backbones.text import Text, padded

if TYPE_CHECKING:  # the models of transformers take a second to load, and agents have none
    from transformers import PreTrainedModel

Kind = Literal["seq2seq", "causal", "encoder"]


@dataclass(eq=False, kw_only=True)
class Backbone:
    """A network with its tokenizer.

    kind: seq2seq and causal write answers, an encoder chooses among given ones. family: the architecture
    (transformers' model_type), which names its sites. reach: tokens that it can read at most, 0 for no limit.
    """

    name: str
    revision: str
    kind: Kind
    family: str
    model: "PreTrainedModel"
    text: Text
    fingerprint: str
    reach: int = 0
    anchors: dict[str, Tensor] = field(default_factory=dict)

    @property
    def network(self) -> nn.Module:
        """The module that carries the skills."""
        return self.model

    def freeze(self) -> None:
        """Train none of the backbone's own parameters."""
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)


def pooled(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens of each text, scaled to length 1: hidden [B, T, D], mask [B, T] -> [B, D]."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * weights).sum(1) / weights.sum(1).clamp_min(1)
    return nn.functional.normalize(mean, dim=-1)


def device_of(model: nn.Module) -> torch.device:
    """Where the first parameter of `model` lies."""
    return next(model.parameters()).device


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode in the block; after it the mode from before."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def longest_first(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Places grouped in runs of `size` by falling length, so that a batch pads little."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    return [order[start : start + size] for start in range(0, len(order), size)]


@torch.no_grad()
def anchor(backbone: Backbone, texts: Sequence[str], batch: int = 64) -> None:
    """Embed the answers that an encoder chooses among, with the network's present weights, and keep them in `anchors`.

    Call it before skills are attached: answers stay where the pretrained encoder puts them, inputs learn to come near.
    """
    missing = [text for text in dict.fromkeys(texts) if text not in backbone.anchors]
    rows = [backbone.text.encode(text)[: backbone.reach or None] for text in missing]
    device = device_of(backbone.model)
    for places in longest_first([len(row) for row in rows], batch):
        tokens = padded([rows[place] for place in places], backbone.text.pad)
        mask = tokens.mask.to(device)
        with evaluating(backbone.model):  # an answer has one place, which dropout must not move
            hidden = backbone.model(input_ids=tokens.ids.to(device), attention_mask=mask).last_hidden_state
        for place, vector in zip(places, pooled(hidden, mask).cpu(), strict=True):
            backbone.anchors[missing[place]] = vector
