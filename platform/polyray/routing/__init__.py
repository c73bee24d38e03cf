"""Routers: from the tasks of a batch to the mix of skills that they use."""

from polyray.config import Choice
from polyray.routing.fixed import ExpertRouter, FixedRouter, PrivateRouter, SharedRouter
from polyray.routing.hard import HardRouter
from polyray.routing.hyperformer import HyperFormer
from polyray.routing.learned import LearnedRouter
from polyray.routing.polytropon import PolytroponRouter
from polyray.routing.router import Allocation, NewRow, Router, module_of
from polyray.routing.soft import SoftRouter
from polyray.routing.token_moe import TokenMoE

ROUTERS: dict[str, type[Router]] = {
    "polytropon": PolytroponRouter,
    "soft": SoftRouter,
    "hard": HardRouter,
    "shared": SharedRouter,
    "private": PrivateRouter,
    "expert": ExpertRouter,
    "hyperformer": HyperFormer,
    "token_moe": TokenMoE,
}


class RoutingOptions(Choice):
    """The `routing` section of every job: a router and its own options."""

    table = ROUTERS
    noun = "router"

    kind: str = "polytropon"
    """Router: see `polyray list routers`."""


__all__ = [
    "ROUTERS",
    "Allocation",
    "FixedRouter",
    "LearnedRouter",
    "NewRow",
    "Router",
    "RoutingOptions",
    "module_of",
]
