"""Rows times a matrix, by the library that is the faster on this processor.

torch's products of 32-bit floats on a CPU are MKL's, which keeps its AVX-512 kernels for Intel's processors. On AMD's,
oneDNN, which torch brings along, takes half the time for a product of the size of a layer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

_CPUINFO = Path("/proc/cpuinfo")
ON_AMD = _CPUINFO.is_file() and "AuthenticAMD" in _CPUINFO.read_text(encoding="utf-8", errors="replace")


def _onednn() -> Callable[..., Tensor] | None:
    """The operator that torch's own compiler calls for a linear layer on a CPU; some builds of torch lack it."""
    try:
        return cast(Callable[..., Tensor], torch.ops.mkldnn._linear_pointwise)
    except AttributeError:
        return None


ONEDNN = _onednn()
LARGE = 1 << 22  # multiplications; below it oneDNN takes longer to begin than it saves


def rows_times(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias, out of autograd's sight: x [*batch, in], weight [out, in] -> [*batch, out].

    The choice depends on the processor and the shapes alone, so equal runs stay equal. oneDNN is left out where
    `torch.backends.mkldnn.enabled` is false.
    """
    if ON_AMD and ONEDNN is not None and _suits_onednn(x, weight):
        return ONEDNN(x, weight, bias, "none", [], "")
    return functional.linear(x, weight, bias)


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    large = x.numel() * weight.shape[0] >= LARGE
    return large and x.dtype == torch.float32 and x.device.type == "cpu" and bool(torch.backends.mkldnn.enabled)
