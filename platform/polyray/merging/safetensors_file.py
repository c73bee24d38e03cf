"""Safetensors files read and written at positions: their headers, and stretches of tensors."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.skills.tensors import type_name

TYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"""Types of numbers by their names in safetensors files."""
NAMES = {dtype: name for name, dtype in TYPES.items()}
LONGEST_HEADER = 100_000_000  # bytes, as the safetensors library has it


@dataclass(frozen=True, kw_only=True)
class TensorForm:
    """Type and shape of a tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def n_entries(self) -> int:
        """Its entries."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Its size."""
        return self.n_entries * self.dtype.itemsize

    @property
    def type_name(self) -> str:
        """Its type as configs of transformers have it, `bfloat16`."""
        return type_name(self.dtype)


@dataclass(frozen=True, kw_only=True)
class StoredTensor(TensorForm):
    """A tensor in a file, from its byte `begin` on."""

    file: Path
    begin: int = 0


def read_header(file: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file, looked at before they are believed.

    Raises:
        InputError: the file is damaged, or holds numbers of another type.
    """
    try:
        with open(file, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            size = os.fstat(stream.fileno()).st_size
            if not 0 < length <= min(LONGEST_HEADER, size - 8):
                raise InputError(f"{file} is no safetensors file, or cut off in its header.")
            header = json.loads(stream.read(length))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Cannot read {file}: {error}") from None
    if not isinstance(header, dict):
        raise InputError(f"{file} is no safetensors file: its header is no table of tensors.")
    header.pop("__metadata__", None)
    return {name: _stored(file, name, entry, 8 + length, size) for name, entry in header.items()}


def _stored(file: Path, name: str, entry: Any, start: int, size: int) -> StoredTensor:
    try:
        dtype, shape = TYPES[entry["dtype"]], tuple(int(length) for length in entry["shape"])
        begin, end = (start + int(offset) for offset in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: {name:.200}: cannot be read from the header ({error!r:.100}).") from None
    tensor = StoredTensor(file=file, dtype=dtype, shape=shape, begin=begin)
    if min(shape, default=0) < 0 or not start <= begin <= end or end - begin != tensor.n_bytes:
        raise InputError(f"{file}: {name:.200}: the header gives {end - begin} bytes to a tensor of {tensor.n_bytes}.")
    if end > size:
        raise InputError(f"{file} is cut off: {name:.200} ends at byte {end} of {size}.")
    return tensor


def read_at(descriptor: int, begin: int, room: Tensor, file: Path) -> None:
    """Fill `room` [n], uint8, from the byte `begin` of an open file.

    Raises:
        InputError: the file cannot be read so far.
    """
    view, done = room.numpy().data, 0
    while done < len(view):
        try:
            count = os.preadv(descriptor, [view[done:]], begin + done)
        except OSError as error:
            raise InputError(f"Cannot read {file}: {error}") from None
        if count == 0:
            raise InputError(f"{file} ends before byte {begin + len(view)}: it was cut off while it was read.")
        done += count


def write_header(descriptor: int, tensors: Mapping[str, TensorForm]) -> list[int]:
    """Write the header of a safetensors file, make the file as long as it will be: the first byte of each tensor."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset, offsets = 0, []
    for name, tensor in tensors.items():
        span = [offset, offset + tensor.n_bytes]
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": span}
        offsets.append(offset)
        offset += tensor.n_bytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    os.pwrite(descriptor, len(text).to_bytes(8, "little") + text, 0)
    os.truncate(descriptor, start + offset)
    return [start + offset for offset in offsets]


def write_at(descriptor: int, begin: int, content: Tensor) -> None:
    """Write the bytes of a tensor from the byte `begin` of an open file."""
    view, done = content.contiguous().view(torch.uint8).numpy().data, 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], begin + done)
