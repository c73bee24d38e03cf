"""BERTScore: how well the tokens of two texts match by the cosine of their contextual embeddings."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from polyray.config import Section
from polyray.errors import InputError
from polyray.judges.frozen import Frozen

_PAIRS = 1024  # whose embeddings are in memory together


class BertScoreOptions(Section):
    """BERTScore of responses, against references and against knowledge."""

    files: ClassVar[frozenset[str]] = frozenset({"model"})

    model: str = ""
    """Folder of an encoder of transformers; empty: no BERTScore."""
    layer: int = Field(-1, ge=-1)
    """Hidden layer whose output is compared, 0 for the embeddings; -1: the last one. The package bert-score takes
    17 for roberta-large and 18 for deberta-large-mnli."""
    idf: bool = False
    """Weigh each token by its inverse document frequency among the texts that are compared with."""
    max_length: int = Field(512, ge=3)
    """Tokens of a text at most; longer ones are cut, and counted."""
    batch: int = Field(64, ge=1)
    """Texts at once."""

    def unread(self) -> Mapping[str, str]:
        """All others where there is no network."""
        others = () if self.model else set(type(self).model_fields) - {"model"}
        return dict.fromkeys(others, "model is empty")


@dataclass(frozen=True, eq=False)
class Embedded:
    """A text in tokens: ids [T], unit embeddings [T, D]."""

    ids: Tensor
    embeddings: Tensor


def greedy_matching(
    candidate: Tensor, reference: Tensor, candidate_weights: Tensor, reference_weights: Tensor
) -> tuple[float, float, float]:
    """Precision, recall and F1 of unit embeddings [S, D] and [T, D] with weights [S] and [T].

    Each token takes the nearest one on the other side; precision is the weighted mean of these cosines over the
    candidate's tokens, recall that over the reference's. All are 0 where one side weighs nothing.
    Zhang et al. 2020 (arXiv:1904.09675), section 3.
    """
    if not candidate_weights.sum() or not reference_weights.sum():
        return 0.0, 0.0, 0.0
    cosines = candidate @ reference.T  # [S, T]
    precision = float((cosines.amax(1) * candidate_weights).sum() / candidate_weights.sum())
    recall = float((cosines.amax(0) * reference_weights).sum() / reference_weights.sum())
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0


class BertScore:
    """An encoder that compares texts as the package bert-score does, without its rescaling.

    Special tokens can be matched but weigh nothing, and padding is never matched, so that a score does not depend on
    the texts beside it.
    """

    def __init__(self, options: BertScoreOptions) -> None:
        """Load the encoder.

        Raises:
            InputError: it cannot be loaded, or has no such layer.
        """
        self.options = options
        self.frozen = Frozen.load(options.model, "bertscore.model", "AutoModel")
        config = self.frozen.network.config
        if config.is_encoder_decoder:
            self._encoder = self.frozen.network.get_encoder()
        else:
            self._encoder = self.frozen.network
        n_layers = config.num_hidden_layers
        if options.layer > n_layers:
            raise InputError(f"bertscore.layer={options.layer}: {options.model} has {n_layers} layers.")

    def scores(self, candidates: Sequence[str], references: Sequence[str]) -> list[tuple[float, float, float]]:
        """Precision, recall and F1 of each candidate against its reference."""
        weights = self._token_weights(references)
        results: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0)] * len(candidates)
        order = sorted(range(len(candidates)), key=lambda index: (references[index], candidates[index]))
        for start in range(0, len(order), _PAIRS):
            chosen = order[start : start + _PAIRS]
            texts = dict.fromkeys(text for i in chosen for text in (candidates[i], references[i]))
            embedded = dict(zip(texts, self._embed(list(texts)), strict=True))
            for index in chosen:
                left, right = embedded[candidates[index]], embedded[references[index]]
                results[index] = greedy_matching(
                    left.embeddings, right.embeddings, _weigh(left, weights), _weigh(right, weights)
                )
        return results

    @torch.no_grad()
    def _embed(self, texts: Sequence[str]) -> list[Embedded]:
        encoded = self.frozen.encode([(text.strip(),) for text in texts], self.options.max_length)
        embedded: dict[int, Embedded] = {}
        for indices, batch in self.frozen.batches(encoded, self.options.batch):
            layers = self._encoder(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True
            ).hidden_states
            hidden = torch.nn.functional.normalize(layers[self.options.layer].float(), dim=-1).cpu()
            for row, index in enumerate(indices):
                ids = torch.tensor(encoded[index]["input_ids"])
                mask = batch["attention_mask"][row].bool().cpu()
                embedded[index] = Embedded(ids, hidden[row][mask])
        return [embedded[index] for index in range(len(texts))]

    def _token_weights(self, references: Sequence[str]) -> dict[int, float]:
        """Inverse document frequency of tokens among the references, log((N + 1) / (n + 1)); others have log(N + 1).

        1 for all without `idf`; 0 for the special tokens around a text.
        """
        default, weights = 1.0, dict[int, float]()
        if self.options.idf:
            encoded = self.frozen.encode([(text.strip(),) for text in references], self.options.max_length)
            counts = Counter(token for tokens in encoded for token in set(tokens["input_ids"]))
            default = math.log(len(encoded) + 1)
            weights = {token: default - math.log(count + 1) for token, count in counts.items()}
        tokenizer = self.frozen.tokenizer
        ends = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
        return defaultdict(lambda: default, weights | {token: 0.0 for token in ends if token is not None})


def _weigh(text: Embedded, weights: Mapping[int, float]) -> Tensor:
    """[T], the weight of each token."""
    return torch.tensor([weights[token] for token in text.ids.tolist()])
