"""Quark's loss as a module, beside a reference that stays as it is."""

import torch
from torch import Tensor, nn

from polyray.decoding.quark import quark_losses
from polyray.modules.site import mixing
from polyray.objectives.answers import AnswerBatch, Answers
from polyray.objectives.losses import IGNORED
from polyray.objectives.objective import Network
from polyray.training.model import Modular
from polyray.training.quark.batches import QuarkBatch
from polyray.training.quark.recipe import QuarkOptions

ANSWERS = Answers()


class QuarkLoss(nn.Module):
    """forward(batch) is the mean loss over the tokens of the batch's responses."""

    def __init__(self, policy: Modular, reference: Modular, options: QuarkOptions) -> None:
        super().__init__()
        self.policy, self._options = policy, options
        self._reference = (reference,)  # in a tuple: its parameters are not this module's

    def forward(self, batch: QuarkBatch, generator: torch.Generator | None = None) -> Tensor:
        """Call it inside `mixing(policy.inventory)`, and `backward()` too."""
        policy, (reference,) = self.policy, self._reference
        policy.inventory.set_mix(policy.router(batch.tasks, generator))
        logits, tokens = _learned(policy, batch.conditioned)
        with torch.no_grad(), mixing(reference.inventory, reference.router(batch.tasks)):
            theirs, _ = _learned(reference, batch.plain)
        losses = quark_losses(logits, theirs, tokens, kl=self._options.kl, entropy=self._options.entropy)
        return losses.sum() / (batch.conditioned.total or batch.counts.sum().clamp_min(1))


def _learned(network: Network, batch: AnswerBatch) -> tuple[Tensor, Tensor]:
    """Logits [N, V] at all tokens of the responses, row after row, and these tokens [N]."""
    learned = batch.labels != IGNORED
    return ANSWERS.logits(network, batch)[learned], batch.labels[learned]
