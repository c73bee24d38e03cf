"""Conditions that must hold before a run or a sweep begins; each failure is one line with its remedy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polyray.cluster import storage_check
from polyray.cluster.folder_check import REMEDY
from polyray.cluster.preflight.forecast import Forecast, Room
from polyray.cluster.preflight.nodes import NodeFacts
from polyray.cluster.preflight.wording import bytes_text
from polyray.cluster.storage_check import HASTE
from polyray.cluster.submission.token import is_token_mode
from polyray.errors import PolyrayError
from polyray.runs.store.remote import open_remote

MEMORY_SHARE = 0.95  # of a node's memory: above it Ray ends worker processes


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: a word or two.
        holds: whether the run can begin.
        text: what was seen, and where it does not hold, what to do.
    """

    name: str
    holds: bool
    text: str


def check_room(trial: Mapping[str, float], largest: Mapping[str, float], room: Room) -> Check:
    """Resources that the cluster can ever have against what one trial asks for.

    Args:
        trial: amounts of one trial, of all its processes. largest: of the largest of them, which one node must have.
    """
    names = [name for name, amount in trial.items() if amount > room.ever.get(name, 0.0)]
    if names:
        lines = "; ".join(f"{trial[name]:g} {name} of {room.ever.get(name, 0.0):g}" for name in names)
        fewer = "ask for less (sweep.cpus, sweep.gpus, workers.*), or join a cluster that has more (--address)"
        return Check(name="resources", holds=False, text=f"one trial wants {lines} that the cluster can have: {fewer}.")
    if not room.grows and not any(all(node.get(n, 0.0) >= a for n, a in largest.items()) for node in room.nodes):
        return Check(
            name="resources", holds=False,
            text=f"no node has {amounts_text(largest)}, which one process wants: ask for less, or add a larger node.",
        )  # fmt: skip
    grows = f", {amounts_text(room.ever)} when it has grown" if room.grows else ""
    return Check(
        name="resources", holds=True,
        text=f"{amounts_text(room.now)} on {len(room.nodes)} node(s){grows}; one trial wants {amounts_text(trial)}.",
    )  # fmt: skip


def check_versions(nodes: Sequence[NodeFacts]) -> Check:
    """Whether all nodes have this machine's versions."""
    here, *others = nodes
    wrong = [f"{node.name}: {node.unknown}" for node in others if node.unknown]
    wrong += [
        f"{node.name} has {name} {node.versions[name]}, not {version}"
        for node in others
        for name, version in here.versions.items()
        if not node.unknown and node.versions[name] != version
    ]
    if wrong:
        remedy = "Install the versions of this machine there."
        return Check(name="versions", holds=False, text=f"{_first(wrong)}. {remedy}")
    versions = ", ".join(f"{name} {version}" for name, version in here.versions.items())
    return Check(name="versions", holds=True, text=f"{versions} on all of {max(1, len(others))} node(s).")


def check_storage(out: Path, nodes: Iterable[NodeFacts]) -> Check:
    """Whether every node can write where the results go."""
    wrong = [f"{node.name} cannot write there ({node.problem})" for node in nodes if node.problem]
    if wrong:
        return Check(name="storage", holds=False, text=f"{out}: {_first(wrong)}. {REMEDY}")
    return Check(name="storage", holds=True, text=f"{out} can be written to by every node that was asked.")


def check_url(url: str) -> Check:
    """Whether this machine and every node can read and write the folder behind a URL, and it is the same one."""
    try:
        open_remote(url, HASTE).names()
        storage_check.check_storage(url)
    except PolyrayError as error:
        return Check(name="storage", holds=False, text=str(error))
    return Check(name="storage", holds=True, text=f"{url} can be read and written by every node.")


def check_disk(forecast: Forecast | None, nodes: Iterable[NodeFacts]) -> Check:
    """Whether there is room for the results."""
    free = min(node.free for node in nodes if not node.unknown)
    if forecast is None:
        return Check(name="disk", holds=True, text=f"{bytes_text(free)} free.")
    if forecast.disk > free:
        remedy = "Choose another --out, fewer trials, or a longer training.save_every"
        text = f"{bytes_text(forecast.disk)} will be written and {bytes_text(free)} are free. {remedy}."
        return Check(name="disk", holds=False, text=text)
    return Check(name="disk", holds=True, text=f"{bytes_text(forecast.disk)} of {bytes_text(free)} that are free.")


def check_memory(forecast: Forecast | None, nodes: Sequence[NodeFacts]) -> Check | None:
    """Whether the trials that run at once on a node fit into its memory."""
    if forecast is None:
        return None
    smallest = min(
        (node for node in nodes[1:] or nodes if not node.unknown), key=lambda node: node.memory, default=None
    )
    if smallest is None:
        return None
    n, room = forecast.at_once_on_a_node, MEMORY_SHARE * smallest.memory
    text = f"{n} trial(s) at once on a node, {bytes_text(forecast.memory)} each, of {bytes_text(smallest.memory)}"
    if n * forecast.memory > room:
        most = int(room // forecast.memory)
        remedy = f"set sweep.concurrent={most}" if most else "take a smaller model or batch"
        return Check(name="memory", holds=False, text=f"{text}: {remedy}.")
    return Check(name="memory", holds=True, text=f"{text}.")


def check_token(address: str | None) -> Check:
    """Whether calls to the cluster carry a token; one that refused this machine's has been reported before."""
    if is_token_mode():
        return Check(name="token", holds=True, text="calls carry a token (RAY_AUTH_MODE=token).")
    whose = f"the cluster at {address}" if address else "the cluster"
    return Check(
        name="token",
        holds=True,
        text=f"{whose} asks for none: whoever reaches its ports can run code (docs/security.md).",
    )


def amounts_text(amounts: Mapping[str, float]) -> str:
    """Amounts of CPUs, GPUs and other resources in one line; Ray's own ones for memory and nodes are left out."""
    shown = [(name, amount) for name, amount in amounts.items() if name in ("CPU", "GPU") and amount]
    return ", ".join(f"{amount:g} {name}" for name, amount in shown) or "no CPU"


def _first(lines: Sequence[str]) -> str:
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return f"{lines[0]}{more}"
