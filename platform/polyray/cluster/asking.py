"""A question to nodes of a cluster, each answered by a task that runs there."""

from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

LATE = 0.1  # seconds for an answer that should be there
PATIENCE = 120.0  # seconds for all nodes: each may have to start a process


def ask_nodes(
    work: Callable[..., Any], arguments: Mapping[str, tuple[Any, ...]], seconds: float, *, retries: int = 0
) -> dict[str, Any]:
    """Results of `work` on each node by the node's id, or the `RayError` of a node that gives none.

    Args:
        arguments: of `work`, by the ids of the nodes that are asked.
        seconds: time for all answers; one that comes later is a `ray.exceptions.GetTimeoutError`.
        retries: of a task whose process died.
    """
    remote: Any = ray.remote(num_cpus=0, max_retries=retries)(work)
    answers = {
        node: remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(*values)
        for node, values in arguments.items()
    }
    ray.wait(list(answers.values()), num_returns=len(answers), timeout=seconds)
    return {node: _answer(reference) for node, reference in answers.items()}


def _answer(reference: Any) -> Any:
    try:
        return ray.get(reference, timeout=LATE)
    except RayError as error:
        return error


def refusal(answer: str | RayError, late: str) -> str:
    """The problem that a node answers with, or the first line of its error; empty: it has none.

    late: in place of an answer that did not come in time.
    """
    if isinstance(answer, GetTimeoutError):
        return late
    return str(answer).splitlines()[0] if isinstance(answer, RayError) else answer
