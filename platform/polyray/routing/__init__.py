"""Routers: from the tasks of a batch to the mix of skills that they use."""

from collections.abc import Callable, Sequence
from functools import partial

import torch

from polyray.modules.layout import Layout
from polyray.routing.fixed import FixedRouter, expert, private, shared
from polyray.routing.hard import straight_through_top
from polyray.routing.hyperformer import HyperFormer
from polyray.routing.learned import LearnedRouter
from polyray.routing.options import RoutingOptions
from polyray.routing.polytropon import relaxed_bernoulli
from polyray.routing.soft import softmax
from polyray.routing.token_moe import TokenMoE

Router = LearnedRouter | FixedRouter | HyperFormer | TokenMoE

ROUTERS: dict[str, Callable[[Sequence[str], Layout, RoutingOptions, torch.Generator], Router]] = {
    "polytropon": partial(LearnedRouter, relaxed_bernoulli),
    "soft": partial(LearnedRouter, softmax),
    "hard": partial(LearnedRouter, straight_through_top),
    "shared": shared,
    "private": private,
    "expert": expert,
    "hyperformer": HyperFormer,
    "token_moe": TokenMoE,
}

__all__ = ["ROUTERS", "FixedRouter", "HyperFormer", "LearnedRouter", "Router", "RoutingOptions", "TokenMoE"]
