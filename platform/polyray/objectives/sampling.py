"""Labels drawn from what the network predicts, for Fisher information of its own distribution."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from polyray.objectives.answers import AnswerBatch, Answers
from polyray.objectives.choices import ChoiceBatch, Choices
from polyray.objectives.losses import IGNORED, mean_cross_entropy
from polyray.objectives.objective import Network

Generators = Sequence[torch.Generator]
"""One for each example, so that its draws do not depend on the batch."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Drawing of labels for an objective's batches.

    losses: called as losses(network, batch, generators), gives for each example the mean loss [B] of drawn labels, as
    `Objective.loss` does for gold ones. logits: scores of tokens [B, T, V] at all positions that the network writes or
    continues from; None where it writes no tokens.
    """

    losses: Callable[[Network, Any, Generators], Tensor]
    logits: Callable[[Network, Any], Tensor] | None = None


def draw(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Indices drawn from softmax(logits) by the inverse of its cumulative sum: [*, V], uniforms [*] -> [*]."""
    log_probabilities = functional.log_softmax(logits.detach().float(), -1)
    cumulative = log_probabilities.logcumsumexp(-1).exp()
    drawn = torch.searchsorted(cumulative, uniforms.to(cumulative).unsqueeze(-1)).squeeze(-1)
    return drawn.clamp_max(logits.shape[-1] - 1)  # a sum may stay below 1


def uniforms(counts: Sequence[int], generators: Generators) -> Tensor:
    """As many uniform numbers for each example as `counts` says, from its own generator, one behind the other."""
    return torch.cat([torch.rand(count, generator=each) for count, each in zip(counts, generators, strict=True)])


def answer_losses(network: Network, batch: AnswerBatch, generators: Generators) -> Tensor:
    """[B], mean cross-entropy of tokens that are drawn where the answer's stand, behind the answer's own prefix."""
    logits = Answers().logits(network, batch)
    counted = batch.labels != IGNORED
    drawn = draw(logits[counted], uniforms(counted.sum(1).tolist(), generators))
    return mean_cross_entropy(logits, batch.labels.masked_scatter(counted, drawn))


def choice_losses(network: Network, batch: ChoiceBatch, generators: Generators) -> Tensor:
    """[B], cross-entropy of an answer that is drawn among an example's own candidates, in alphabetical order."""
    scores = Choices().scores(network, batch)
    order = torch.tensor(sorted(range(len(batch.answers)), key=batch.answers.__getitem__), device=scores.device)
    drawn = order[draw(scores[:, order], uniforms([1] * len(scores), generators))]
    losses = functional.cross_entropy(scores, drawn, reduction="none")
    return losses * (batch.chosen != IGNORED)


SAMPLINGS: Mapping[str, Sampling] = {
    "answers": Sampling(losses=answer_losses, logits=Answers().logits),
    "choices": Sampling(losses=choice_losses),
    **dict.fromkeys(("dialogue", "chat"), Sampling(losses=answer_losses, logits=Answers().logits)),
}
"""By objective, of those whose labels can be drawn."""


def released_loss(logits: Tensor, generators: Generators) -> Tensor:
    """Mean negative log-likelihood of tokens drawn at all positions, padding too: [B, T, V] -> a number.

    The loss whose gradient the authors of elastic weight removal square (arXiv:2303.17574, their `fim_loop`).
    """
    batch, length, width = logits.shape
    log_probabilities = functional.log_softmax(logits, dim=-1)
    drawn = draw(logits, uniforms([length] * batch, generators).view(batch, length))
    return functional.nll_loss(log_probabilities.view(-1, width), drawn.view(-1))
