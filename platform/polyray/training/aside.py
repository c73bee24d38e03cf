"""Copies of large tensors that are seldom read, in files that the system maps into memory as they are."""

import tempfile

import torch
from torch import Tensor

SMALL = 1 << 20  # entries up to which a copy stays in memory


def set_aside(tensor: Tensor) -> Tensor:
    """A copy of a vector that takes no memory while it is not read, where it is large and on a CPU.

    It is read from a file without a name, which is gone with the process; what is written to the copy stays in memory.
    """
    if tensor.device.type != "cpu" or tensor.numel() <= SMALL:
        return tensor.clone()
    with tempfile.NamedTemporaryFile(prefix="polyray-") as file:
        tensor.detach().contiguous().numpy().tofile(file)
        file.flush()
        return torch.from_file(file.name, shared=False, size=tensor.numel(), dtype=tensor.dtype)
