"""A cluster as its dashboard describes it: versions, and resources of its nodes."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyray import __version__
from polyray.cluster.submission.server import JobServer
from polyray.errors import InputError

OLDEST_RAY, TOO_NEW_RAY = (2, 60), (3,)  # as in setup.cfg
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A living node.

    resources: all that it has, by Ray's names (CPU, GPU, memory in bytes, ...).
    """

    id: str
    address: str
    resources: Mapping[str, float]


def check_versions(server: JobServer) -> None:
    """Refuse a cluster on which Polyray cannot run.

    Raises:
        InputError: its Ray or its Python is too old or too new.
        RunError: it did not tell.
    """
    ray = _numbers(server.version)
    if not OLDEST_RAY <= ray < TOO_NEW_RAY:
        raise InputError(
            f"The cluster at {server.address} runs Ray {server.version}, and Polyray {__version__} needs "
            f"{_dotted(OLDEST_RAY)} or newer, below {_dotted(TOO_NEW_RAY)}. Choose a cluster or image with such a Ray."
        )
    metadata = server.read("/api/v0/cluster_metadata", "looking for its Python").get("data", {})
    python = str(metadata.get("pythonVersion", ""))
    if _numbers(python) < OLDEST_PYTHON:
        raise InputError(
            f"The cluster at {server.address} runs Python {python or 'of an unknown version'}, and Polyray "
            f"{__version__} needs {_dotted(OLDEST_PYTHON)} or newer (here it is {sys.version.split()[0]}). Choose a "
            "cluster or image with such a Python."
        )


def read_nodes(server: JobServer) -> list[Node]:
    """The nodes of the cluster that live.

    Raises:
        InputError, RunError: the cluster did not tell.
    """
    document = server.read("/api/v0/nodes?detail=1&limit=10000", "listing its nodes")
    rows = document.get("data", {}).get("result", {}).get("result", [])
    return [
        Node(id=row["node_id"], address=row.get("node_ip", ""), resources=row.get("resources_total") or {})
        for row in rows
        if row.get("state") == "ALIVE"
    ]


def missing_resources(nodes: Sequence[Node], demand: Mapping[str, float]) -> str:
    """One line on what no single node has of a `demand` {CPU: 1, GPU: 2}; empty: some node has all of it."""
    if any(all(node.resources.get(name, 0) >= amount for name, amount in demand.items()) for node in nodes):
        return ""
    asked = " and ".join(f"{amount:g} {name}" for name, amount in demand.items())
    most = " and ".join(
        f"{max((node.resources.get(name, 0) for node in nodes), default=0):g} {name}" for name in demand
    )
    return f"it asks for {asked} on one node, and the most that one of {len(nodes)} nodes has is {most}"


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: 2.60.0rc1 -> (2, 60)."""
    numbers = []
    for text in version.split("."):
        if not text.isdecimal():
            break
        numbers.append(int(text))
    return tuple(numbers)


def _dotted(numbers: Sequence[int]) -> str:
    return ".".join(map(str, numbers))
