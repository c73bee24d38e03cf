"""Losses that several objectives share."""

from torch import Tensor
from torch.nn import functional

IGNORED = -100  # labels that no loss counts, as torch and transformers have it


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each row's labels, 0 where it has none: logits [B, L, V], labels [B, L] -> [B]."""
    losses = functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(labels.shape).sum(1) / (labels != IGNORED).sum(1).clamp_min(1)
