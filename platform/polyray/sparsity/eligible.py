"""Eligible parameters: those of a network whose entries may be selected, each memory counted once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import nn

from polyray.config import Section
from polyray.errors import InputError
from polyray.lookup import suggestion

Role = Literal["embedding", "norm", "vector", "matrix", "head"]

EMBEDDING, NORM = re.compile(r"embedding", re.IGNORECASE), re.compile(r"norm", re.IGNORECASE)
"""Names of classes of embeddings and of normalisations, which every library makes for itself."""


class EligibleOptions(Section):
    """Parameters whose entries may be selected."""

    embeddings: bool = True
    """Embeddings of words and positions, and what else their modules have."""
    norms: bool = False
    """Scales and offsets of normalisation layers."""
    biases: bool = True
    """Biases and other vectors."""
    heads: Literal["dense", "sparse", "frozen"] = "dense"
    """Heads: all of their entries are trained and kept, or they compete like others, or they stay as they are."""
    exclude: tuple[str, ...] = Field(())
    """Patterns of names of parameters that stay as they are, such as "*.decoder.*"."""


@dataclass(frozen=True, kw_only=True)
class Eligible:
    """Names of parameters: those whose entries compete, and those that are trained and kept whole."""

    sparse: tuple[str, ...]
    dense: tuple[str, ...]


def eligible(network: nn.Module, options: EligibleOptions, heads: Sequence[str] = ()) -> Eligible:
    """The parameters of `network` whose entries may be selected, in its order.

    A weight that stands in the network under several names (tied embeddings) is listed once, under the first that is
    not a head's.

    Args:
        heads: names of the submodules of `network` that are heads.

    Raises:
        InputError: a pattern of `exclude` matches nothing, nothing is eligible, or parameters overlap in memory.
    """
    names = {alias: aliases for aliases in weights(network) for alias in aliases}
    for pattern in options.exclude:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(f"exclude: no parameter is called {pattern!r}. {suggestion(pattern, names)}")
    competes = {
        "embedding": options.embeddings, "norm": options.norms, "vector": options.biases, "matrix": True,
        "head": options.heads == "sparse",
    }  # fmt: skip
    sparse, dense = [], []
    for aliases in dict.fromkeys(names.values()):
        if any(fnmatchcase(alias, pattern) for alias in aliases for pattern in options.exclude):
            continue
        name, role = _role(network, aliases, heads)
        if competes[role]:
            sparse.append(name)
        elif role == "head" and options.heads == "dense":
            dense.append(name)
    if not sparse:
        raise InputError(
            "No parameter is eligible for the selection: allow embeddings, biases or norms, or exclude less."
        )
    return Eligible(sparse=tuple(sparse), dense=tuple(dense))


def weights(network: nn.Module) -> list[tuple[str, ...]]:
    """All names of each parameter, the first one first; parameters of one memory are one.

    Raises:
        InputError: two parameters share some of their memory, but not all or in another layout.
    """
    names: dict[tuple[int, tuple[int, ...], tuple[int, ...]], list[str]] = {}
    spans = []
    for name, parameter in network.named_parameters(remove_duplicate=False):
        start = parameter.data_ptr()
        key = (start or -1 - len(names), tuple(parameter.shape), parameter.stride())  # 0: it has no entries
        if key not in names and start:
            spans.append((start, start + parameter.numel() * parameter.element_size(), name))
        names.setdefault(key, []).append(name)
    spans.sort()
    for (_, end, name), (start, _, other) in pairwise(spans):
        if start < end:
            raise InputError(f"{name} and {other} share memory in different layouts, so that neither can be sparse.")
    return [tuple(aliases) for aliases in names.values()]


def _role(network: nn.Module, aliases: Sequence[str], heads: Sequence[str]) -> tuple[str, Role]:
    """Name and role of a parameter: that of the first of its names that is no head's."""
    outside = [alias for alias in aliases if not any(alias == head or alias.startswith(f"{head}.") for head in heads)]
    if not outside:
        return aliases[0], "head"
    module = network.get_submodule(outside[0].rpartition(".")[0])
    if EMBEDDING.search(type(module).__name__):
        return outside[0], "embedding"
    if NORM.search(type(module).__name__):
        return outside[0], "norm"
    return outside[0], "vector" if network.get_parameter(outside[0]).dim() < 2 else "matrix"
