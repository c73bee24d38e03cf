"""The nodes of a cluster, each asked by a task that runs on it."""

import os
import platform
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from polyray import __version__
from polyray.cluster.asking import ask_nodes
from polyray.cluster.folder_check import existing, problem_there, witness

WAIT = 60.0  # seconds for the answers of all nodes


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """One node.

    Attributes:
        name: of the host.
        versions: of python, ray, polyray and torch.
        problem: why nothing can be written to the folder of the results; empty: something can.
        free: bytes free there. memory: bytes of the node.
        unknown: why the node gave no answer; empty: it gave one.
    """

    name: str
    versions: Mapping[str, str]
    problem: str = ""
    free: int = 0
    memory: int = 0
    unknown: str = ""


def look_at(folder: str, file: str) -> dict[str, Any]:
    """Facts about this node, as plain data.

    Args:
        folder: the nearest folder to that of the results which the driver has.
        file: see `polyray.cluster.folder_check.problem_there`.
    """
    problem, there = problem_there(folder, file), existing(Path(folder))
    versions = {
        "python": platform.python_version(), "ray": ray.__version__, "polyray": __version__, "torch": torch.__version__
    }  # fmt: skip
    return {
        "name": socket.gethostname(), "versions": versions, "problem": problem, "free": shutil.disk_usage(there).free,
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    }  # fmt: skip


def facts_of_nodes(out: Path) -> list[NodeFacts]:
    """Facts about this machine, the first, and about every node of the cluster but it.

    Args:
        out: absolute path of the folder for results, which need not be there.
    """
    with witness(out) as file:
        question = (str(existing(out)), file)
        here = NodeFacts(**look_at(*question))
        nodes = [node for node in ray.nodes() if node["Alive"]]
        others = nodes if len(nodes) > 1 else [node for node in nodes if node["NodeManagerHostname"] != here.name]
        return [here, *_asked(others, question)]


def _asked(nodes: Sequence[Mapping[str, Any]], question: tuple[str, str]) -> list[NodeFacts]:
    """The answer of each node."""
    names = {str(node["NodeID"]): str(node["NodeManagerHostname"]) for node in nodes}
    answers = ask_nodes(look_at, dict.fromkeys(names, question), WAIT)
    return [_facts(names[node], answer) for node, answer in answers.items()]


def _facts(name: str, answer: Mapping[str, Any] | RayError) -> NodeFacts:
    if not isinstance(answer, RayError):
        return NodeFacts(**answer)
    (reason, *_) = [line for line in reversed(str(answer).splitlines()) if line.strip()] or [type(answer).__name__]
    return NodeFacts(name=name, versions={}, unknown=" ".join(reason.split())[:300])
