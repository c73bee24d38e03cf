"""The kinds of module by name."""

from polyray.modules.bottleneck import BottleneckStack
from polyray.modules.dense import DenseStack
from polyray.modules.ia3 import Ia3Stack
from polyray.modules.lora import LoraStack
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
}
