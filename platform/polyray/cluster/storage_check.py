"""A look whether all nodes of a cluster see the same storage, before a run needs it."""

from uuid import uuid4

import ray

from polyray.cluster.asking import PATIENCE, ask_nodes, refusal
from polyray.errors import InputError, PolyrayError
from polyray.runs.store.remote import Remote, open_remote

PROBE = "probe-"  # how the names of the objects begin
HASTE = (0.5, 1.0)  # seconds before further tries of a node


def check_storage(url: str) -> None:
    """Refuse storage that a node of the cluster cannot read or write, or that is another one there.

    Raises:
        InputError: that is so; the message names the node.
    """
    remote, name = open_remote(url, HASTE), f"{PROBE}{uuid4().hex[:8]}"
    nodes = {node["NodeID"]: str(node["NodeManagerAddress"]) for node in ray.nodes() if node["Alive"]}
    if url.startswith("memory://"):
        raise InputError(
            f"--out {url} is the memory of one process, and Ray's workers are others. Choose another --out."
        )
    if len(nodes) == 1 and ray.get_runtime_context().get_node_id() in nodes:
        return  # this very machine, which has restored the run already
    remote.write(name, name.encode())
    try:
        _ask(remote, url, name, nodes)
    finally:
        for answer in remote.names():
            if answer.startswith(name):
                remote.remove(answer)


def _ask(remote: Remote, url: str, name: str, nodes: dict[str, str]) -> None:
    answers = ask_nodes(_probe, {node: (url, name, node) for node in nodes}, PATIENCE, retries=1)
    late = f"did not answer within {PATIENCE:g} s"
    problems = {node: problem for node, answer in answers.items() if (problem := refusal(answer, late))}
    there = remote.names()
    problems |= {
        node: "writes to another storage of that name"
        for node in nodes
        if node not in problems and f"{name}-{node}" not in there
    }
    if problems:
        node, problem = next(iter(problems.items()))
        raise InputError(
            f"--out {url}: the node {nodes[node]} {problem}. All nodes need the storage's package, its credentials and "
            "the same folder behind the URL."
        )


def _probe(url: str, name: str, node: str) -> str:
    """Reason for which this node cannot use the storage; empty: it can."""
    try:
        remote = open_remote(url, HASTE)
        if remote.read(name) != name.encode():
            return "reads another storage of that name"
        remote.write(f"{name}-{node}", node.encode())
    except FileNotFoundError:
        return "reads another storage of that name"
    except PolyrayError as error:
        return f"cannot use it: {error}"
    return ""
