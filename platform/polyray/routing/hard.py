"""A fixed number of skills for every task, all equally strong."""

from torch import Tensor

from polyray.errors import InputError
from polyray.routing.learned import Noise
from polyray.routing.options import RoutingOptions
from polyray.routing.soft import softmax


def straight_through_top(logits: Tensor, noise: Noise | None, options: RoutingOptions) -> Tensor:
    """1/top on the `top` largest logits; the gradient is the softmax's (straight-through, Bengio et al. 2013).

    logits [..., skills] -> [..., skills] with sum 1; Gumbel noise perturbs them in training (top-k sampling without
    replacement, Kool et al. 2019).

    Raises:
        InputError: `top` is not between 1 and the number of skills.
    """
    if not 1 <= options.top <= logits.shape[-1]:
        raise InputError(f"routing.top is {options.top}; it must lie in 1 to {logits.shape[-1]} (routing.n_skills).")
    soft = softmax(logits, noise, options)
    kept = soft.detach().topk(options.top, -1).indices
    hard = soft.new_zeros(soft.shape).scatter(-1, kept, 1 / options.top)
    return hard + (soft - soft.detach())  # in this order skills that are off are exactly zero
