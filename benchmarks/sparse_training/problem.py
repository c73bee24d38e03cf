"""A tagger of multilingual BERT's shape with random weights, its batches, and the entries that are trained."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel

from polyray.sparsity.eligible import Eligible, EligibleOptions, eligible

N_TAGS = 9
IN_WORDS = 0.195  # of the entries stand in word embeddings, as in the hub's xlmr-lang-sft-gn-small
ZIPF = 1.0  # exponent of the frequencies of words


@dataclass(frozen=True, kw_only=True)
class Size:
    """Shape of the network and of a batch."""

    layers: int
    width: int
    heads: int
    n_words: int
    batch: int
    length: int


SIZES = {
    "mbert": Size(layers=12, width=768, heads=12, n_words=119_547, batch=8, length=128),
    "mini": Size(layers=12, width=256, heads=4, n_words=119_547, batch=8, length=128),
    "tiny": Size(layers=2, width=32, heads=2, n_words=600, batch=2, length=16),
}


class Tagger(nn.Module):
    """BERT without dropout and a linear head on each token."""

    head: nn.Module

    def __init__(self, size: Size) -> None:
        super().__init__()
        config = BertConfig(
            vocab_size=size.n_words, hidden_size=size.width, num_hidden_layers=size.layers,
            num_attention_heads=size.heads, intermediate_size=4 * size.width, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )  # fmt: skip
        torch.manual_seed(0)
        self.encoder = BertModel(config, add_pooling_layer=False)
        self.head = nn.Linear(size.width, N_TAGS)

    def loss(self, ids: Tensor) -> Tensor:
        """Mean cross-entropy of made-up tags: ids [B, T]."""
        hidden = self.encoder(input_ids=ids).last_hidden_state
        return functional.cross_entropy(self.head(hidden).flatten(0, 1), ids.flatten() % N_TAGS)


def zipf(n_words: int, n: int, generator: torch.Generator) -> Tensor:
    """Words [n], the i-th as frequent as 1 / i."""
    frequencies = torch.arange(1, n_words + 1, dtype=torch.float64) ** -ZIPF
    points = torch.rand(n, generator=generator, dtype=torch.float64) * frequencies.sum()
    return torch.searchsorted(frequencies.cumsum(0), points).clamp_max(n_words - 1)


def batches(size: Size, device: torch.device) -> Iterator[Tensor]:
    """Endless batches [B, T] of words in the frequencies of a language."""
    generator = torch.Generator().manual_seed(1)
    while True:
        yield zipf(size.n_words, size.batch * size.length, generator).view(size.batch, -1).to(device)


def eligible_names(network: Tagger) -> Eligible:
    """All parameters but the layer norms; the head is trained whole."""
    return eligible(network, EligibleOptions(), ["head"])


def chosen_entries(network: Tagger, density: float) -> dict[str, Tensor]:
    """Ascending flat indices of random entries, by parameter.

    A fifth stands in the embeddings of words, at frequent ones; the other parameters have equal densities.
    """
    generator = torch.Generator().manual_seed(2)
    sizes = {name: network.get_parameter(name).numel() for name in eligible_names(network).sparse}
    k = round(density * sum(sizes.values()))
    words = next(name for name in sizes if "word_embeddings" in name)
    rest = sum(sizes.values()) - sizes[words]
    entries = {}
    for name, numel in sizes.items():
        if name == words:
            rows, width = network.get_parameter(name).shape
            n = round(IN_WORDS * k)
            drawn = (
                zipf(rows, 4 * n, generator) * width + torch.randint(width, (4 * n,), generator=generator)
            ).unique()
            entries[name] = drawn[torch.randperm(len(drawn), generator=generator)[:n]].sort().values.int()
        else:
            n = round((1 - IN_WORDS) * k * numel / rest)
            entries[name] = torch.randperm(numel, generator=generator)[:n].sort().values.int()
    return entries
