"""The kinds of module by name."""

from polyray.errors import InputError
from polyray.modules.bottleneck import BottleneckStack
from polyray.modules.dense import DenseStack
from polyray.modules.ia3 import Ia3Stack
from polyray.modules.lora import LoraStack
from polyray.modules.mad_x import MadXStack
from polyray.modules.prefix import PrefixStack
from polyray.modules.sparse import SparseStack
from polyray.modules.stack import Stack

MODULES: dict[str, type[Stack]] = {
    "lora": LoraStack,
    "sparse": SparseStack,
    "dense": DenseStack,
    "bottleneck": BottleneckStack,
    "prefix": PrefixStack,
    "ia3": Ia3Stack,
    "mad_x": MadXStack,
}


def needs_whole_weights(kind: str) -> InputError:
    """The error of a kind whose modules are added to the weights of their layers, on quantised ones."""
    able = ", ".join(name for name, entry in MODULES.items() if not entry.reads_weights)
    return InputError(
        f"modules.kind={kind} adds to the weights of its layers, which are quantised here: choose one of {able}, or "
        "backbone_dtype=bf16 or fp32."
    )
