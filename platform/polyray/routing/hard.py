"""A fixed number of skills for every task, all equally strong."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from polyray.config import Section
from polyray.errors import InputError
from polyray.modules.layout import Layout
from polyray.routing.learned import LearnedRouter, Noise
from polyray.routing.options import LearnedOptions, TopOptions
from polyray.routing.soft import softmax


class HardOptions(LearnedOptions, TopOptions):
    """The choices of a learned allocation of a fixed number of skills."""


class HardRouter(LearnedRouter):
    """A learned subset of `routing.top` skills for every task."""

    Options: ClassVar[type[Section]] = HardOptions
    options: HardOptions

    def __init__(self, tasks: Sequence[str], layout: Layout, options: Any, generator: torch.Generator) -> None:
        super().__init__(tasks, layout, options, generator)
        if options.top > options.n_skills:
            raise InputError(
                f"routing.top is {options.top}; it must lie in 1 to {options.n_skills} (routing.n_skills)."
            )

    def weigh(self, logits: Tensor, noise: Noise | None) -> Tensor:
        """Straight-through top-k of Gumbel-softmax draws."""
        return straight_through_top(logits, noise, self.options.temperature, self.options.top)


def straight_through_top(logits: Tensor, noise: Noise | None, temperature: float, top: int) -> Tensor:
    """1/top on the `top` largest logits; the gradient is the softmax's (straight-through, Bengio et al. 2013).

    logits [..., skills] -> [..., skills] with sum 1; Gumbel noise perturbs them in training (top-k sampling without
    replacement, Kool et al. 2019).
    """
    soft = softmax(logits, noise, temperature)
    largest = soft.detach().topk(top, -1).indices
    hard = soft.new_zeros(soft.shape).scatter(-1, largest, 1 / top)
    return hard + (soft - soft.detach())  # in this order skills that are off are exactly zero
