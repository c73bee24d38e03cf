"""Experts at decoding: the next token's distribution as a product of those of several networks."""

from collections.abc import Sequence

import torch
from torch import Tensor

from polyray.backbones.text import Tokens
from polyray.decoding.member import CachedMember, Member


def density_ratio(base: Tensor, terms: Sequence[tuple[Tensor, float]]) -> Tensor:
    """Log-probabilities of p_base times the other distributions, each to the power of its weight, normalised.

    base [R, V] and each of the others [R, V'] are logits -> [R, V]. The tokens that all of them know compete; others,
    and those that `base` rules out (-inf), have probability 0. The sum of logits in place of log-probabilities, as in
    DExperts (Liu et al. 2021, arXiv:2105.03023, equation 2), is the same: they differ by a constant for each row.
    """
    n_shared = min([base.shape[1], *(logits.shape[1] for logits, _ in terms)])
    total = base[:, :n_shared].float().log_softmax(1)
    ruled_out = total.isneginf()
    for logits, weight in terms:
        total = total + weight * logits[:, :n_shared].float().log_softmax(1)
    total = total.masked_fill(ruled_out, -torch.inf).log_softmax(1)
    return torch.nn.functional.pad(total, (0, base.shape[1] - n_shared), value=-torch.inf)


class DensityRatio:
    """Logits processor of transformers' generation that brings other networks into each step of the search.

    They run with caches of their own. One processor is for one call of `generate`.
    """

    def __init__(self, members: Sequence[tuple[Member, float]], inputs: Tokens) -> None:
        """Bring in each member to the power of its weight, negative for an anti-expert.

        Args:
            inputs: that `generate` is called with; members read the same ones.
        """
        self._members = [(CachedMember(member, inputs), weight) for member, weight in members if weight]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Log-probabilities [R, V] of the next token, of the tokens so far [R, L] and the base's scores [R, V]."""
        terms = [(member.logits(input_ids), weight) for member, weight in self._members]
        return density_ratio(scores, terms)
