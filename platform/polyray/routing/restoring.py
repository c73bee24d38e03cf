"""A router from its tensors."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from polyray.errors import InputError
from polyray.modules.layout import Layout
from polyray.routing import ROUTERS, Router, RoutingOptions


def restore_router(
    routing: RoutingOptions, tasks: Sequence[str], layout: Layout, state: Mapping[str, Tensor], *, n_skills: int
) -> Router:
    """The router that `state` was taken from.

    Raises:
        InputError: the tensors do not fit, or it mixes another number of skills than `n_skills`.
    """
    try:
        router = ROUTERS[routing.kind].from_state(tasks, layout, routing.options, state)
    except (RuntimeError, KeyError, ValueError) as error:  # torch's own for missing, left over and misshapen tensors
        raise InputError(f"The tensors of the router {routing.kind!r} do not fit: {error}") from None
    if router.n_skills != n_skills:
        raise InputError(f"The router {routing.kind!r} mixes {router.n_skills} skills; the inventory has {n_skills}.")
    return router
