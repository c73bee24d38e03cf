"""Steps of masked language modelling: a head on all positions, as in transformers, or on those that are predicted."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.sparse_training.problem import Size, Tagger
from benchmarks.sparse_training.variants import L1, chosen, masked
from benchmarks.timing import Step
from polyray.backbones.heads import MaskedHead
from polyray.objectives.losses import IGNORED
from polyray.objectives.masked_lm import SHARE

BATCH = 4
ALL, PREDICTED = "all", "predicted"


class LanguageModel(Tagger):
    """BERT with the head of a masked language model, which decodes with embeddings that are not trained."""

    def __init__(self, size: Size, positions: str) -> None:
        super().__init__(size)
        self.positions = positions
        self.head = MaskedHead(size.width, size.width, size.n_words, 1e-12, torch.Generator().manual_seed(0))
        self.register_buffer("decoder", self.encoder.get_input_embeddings().weight.detach().clone())

    def loss(self, ids: Tensor) -> Tensor:
        """Mean cross-entropy of 15 % of the words: ids [B, T]."""
        labels = ids.where(torch.rand(ids.shape, generator=torch.Generator().manual_seed(0)) < SHARE, IGNORED)
        hidden = self.encoder(input_ids=ids).last_hidden_state
        if self.positions == PREDICTED:
            hidden, labels = hidden[labels != IGNORED], labels[labels != IGNORED]
        logits = self.head(hidden, self.get_buffer("decoder"))
        return functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED)


def steps(size: Size, entries: Mapping[str, Tensor], data: Iterator[Tensor]) -> dict[str, Step]:
    """Forward and backward pass with either head, and steps of the second phase of a language's skill, with L1."""

    def passes(network: LanguageModel) -> Step:
        def step() -> None:
            network.requires_grad_(True)
            network.loss(next(data)).backward()
            network.zero_grad()

        return step

    whole, predicted = LanguageModel(size, ALL), LanguageModel(size, PREDICTED)
    return {
        "passes, head on all": passes(whole),
        "passes, head on predicted": passes(predicted),
        "masked, L1, head on all": masked(L1)(whole, entries, data),
        "chosen, L1, head on predicted": chosen(L1)(predicted, entries, data),
    }
