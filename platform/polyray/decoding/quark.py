"""Quark: rewards in quantiles, each with a token of its own, and the loss under it.

Lu et al. 2022 (arXiv:2205.13636), section 2.
"""

from collections.abc import Sequence

from torch import Tensor


def reward_token(quantile: int) -> str:
    """The word before an input that asks for a response of this quantile, from 1 for the lowest rewards."""
    return f"<reward-{quantile}>"


def quantiles(rewards: Sequence[float], n: int) -> list[int]:
    """The quantile of each reward among all, from 1 for the lowest to n; of equal ones the first is the higher.

    Each has len(rewards) // n of them, the lowest also those that are left.
    """
    order = sorted(range(len(rewards)), key=lambda index: -rewards[index])
    size = len(rewards) // n
    ranks = [0] * len(rewards)
    for position, index in enumerate(order):
        ranks[index] = max(1, n - position // size) if size else 1
    return ranks


def quark_losses(logits: Tensor, reference: Tensor, tokens: Tensor, *, kl: float, entropy: float) -> Tensor:
    """-log p(token) + kl * KL(p || reference) - entropy * H(p) at each position.

    logits [N, V] of p under the quantile's token, reference [N, V] without it, tokens [N] -> [N]. In the paper's
    equation 3 the divergence is the other way round; this is the one in its code.
    """
    log_probabilities, of_reference = logits.float().log_softmax(1), reference.float().log_softmax(1)
    probabilities = log_probabilities.exp()
    likelihood = log_probabilities.gather(1, tokens.unsqueeze(1)).squeeze(1)
    divergence = (probabilities * (log_probabilities - of_reference)).sum(1)
    return -likelihood + kl * divergence + entropy * (probabilities * log_probabilities).sum(1)
