"""The variable-size allocation: every task turns every skill on or off for itself."""

from torch import Tensor

from polyray.routing.learned import LearnedRouter, Noise

EPS = 1e-12  # guards the normalisation, as in McGill-NLP/polytropon and PEFT


class PolytroponRouter(LearnedRouter):
    """A learned, variable-size subset of skills for every task (Ponti et al. 2023)."""

    def weigh(self, logits: Tensor, noise: Noise | None) -> Tensor:
        """Relaxed Bernoulli draws, normalised over skills."""
        return relaxed_bernoulli(logits, noise, self.options.temperature)


def relaxed_bernoulli(logits: Tensor, noise: Noise | None, temperature: float) -> Tensor:
    """Independent Gumbel-sigmoids, normalised over skills (Ponti et al. 2023, Eq. 2 and 3).

    logits [..., skills] -> [..., skills] with sum 1: sigmoid((logit + logit(u)) / temperature) where there is noise,
    u ~ U(0, 1), else sigmoid(logit), never rounded.
    """
    if noise is not None:
        logits = (logits + noise(logits).logit()) / temperature
    cells = logits.sigmoid()
    return cells / (cells.sum(-1, keepdim=True) + EPS)
