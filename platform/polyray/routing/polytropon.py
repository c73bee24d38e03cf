"""The variable-size allocation: every task turns every skill on or off for itself."""

from torch import Tensor

from polyray.routing.learned import Noise
from polyray.routing.options import RoutingOptions

EPS = 1e-12  # guards the normalisation, as in McGill-NLP/polytropon and PEFT


def relaxed_bernoulli(logits: Tensor, noise: Noise | None, options: RoutingOptions) -> Tensor:
    """Independent Gumbel-sigmoids, normalised over skills (Ponti et al. 2023, Eq. 2 and 3).

    logits [..., skills] -> [..., skills] with sum 1: sigmoid((logit + logit(u)) / temperature) where there is noise,
    u ~ U(0, 1), else sigmoid(logit), never rounded.
    """
    if noise is not None:
        logits = (logits + noise(logits).logit()) / options.temperature
    cells = logits.sigmoid()
    return cells / (cells.sum(-1, keepdim=True) + EPS)
