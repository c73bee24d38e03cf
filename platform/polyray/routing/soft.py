"""A distribution over skills for every task."""

from torch import Tensor

from polyray.routing.learned import LearnedRouter, Noise


class SoftRouter(LearnedRouter):
    """A learned distribution over skills for every task."""

    def weigh(self, logits: Tensor, noise: Noise | None) -> Tensor:
        """Gumbel-softmax draws."""
        return softmax(logits, noise, self.options.temperature)


def softmax(logits: Tensor, noise: Noise | None, temperature: float) -> Tensor:
    """Softmax over skills at the temperature, perturbed by Gumbel noise in training (Jang et al. 2017, Eq. 2).

    logits [..., skills] -> [..., skills] with sum 1.
    """
    if noise is not None:
        logits = logits - noise(logits).log().neg().log()
    return (logits / temperature).softmax(-1)
