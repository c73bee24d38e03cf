"""The kinds of module by name."""

from collections.abc import Callable
from typing import Any

from polyray.modules.bottleneck import BottleneckStack
from polyray.modules.dense import DenseStack
from polyray.modules.ia3 import Ia3Stack
from polyray.modules.lora import LoraStack, share
from polyray.modules.prefix import PrefixStack
from polyray.modules.site import Stack
from polyray.modules.sparse import SparseStack

MODULES: dict[str, Callable[..., Stack]] = {
    "lora": LoraStack,
    "sparse": SparseStack,
    "dense": DenseStack,
    "bottleneck": BottleneckStack,
    "prefix": PrefixStack,
    "ia3": Ia3Stack,
}

SHARERS: dict[str, Callable[..., Any]] = {"lora": share}
"""Kinds that gain when sites with one input run together: a group's layers, `mixed` entries -> the entries, linked."""

LINEAR = frozenset({"lora", "dense", "ia3", "prefix"})
"""Kinds whose mix is one module again: the weighted sum of the tensors."""
