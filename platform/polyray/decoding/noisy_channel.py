"""Noisy channel: candidates of a direct model in the order of a channel and a language model."""

from collections.abc import Sequence

import torch
from torch import Tensor


def noisy_channel(
    direct: Tensor, channel: Tensor, language: Tensor, *, channel_weight: float, language_weight: float
) -> Tensor:
    """Scores [C] of candidate responses, the best one highest.

    direct [C]: log p(response | history, knowledge), normalised by length. channel [C]: log p(knowledge | history,
    response), and language [C]: log p(response | history), sums over tokens. Daheim et al. 2022 (arXiv:2210.17418);
    their code of 2024 (arXiv:2303.17574) has the weights 0.5 and 0.2.
    """
    return direct + channel_weight * channel + language_weight * language


def ranked(scores: Sequence[float]) -> list[int]:
    """Indices of candidates, the best first; those of equal scores stay in their order."""
    return torch.tensor(scores, dtype=torch.float64).argsort(descending=True, stable=True).tolist()
