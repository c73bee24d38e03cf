"""A distribution over skills for every task."""

from torch import Tensor

from polyray.routing.learned import Noise
from polyray.routing.options import RoutingOptions


def softmax(logits: Tensor, noise: Noise | None, options: RoutingOptions) -> Tensor:
    """Softmax over skills at the temperature, perturbed by Gumbel noise in training (Jang et al. 2017, Eq. 2).

    logits [..., skills] -> [..., skills] with sum 1.
    """
    if noise is not None:
        logits = logits - noise(logits).log().neg().log()
    return (logits / options.temperature).softmax(-1)
