"""Tensors of skills on disk: written as safetensors, and looked at before they are believed."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyray.errors import InputError
from polyray.files.disk import Point, disk

INDICES = (torch.int32, torch.int64)  # types of the supports of sparse skills


def save_tensors(tensors: Mapping[str, Tensor], file: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file into a folder that is itself written whole.

    Raises:
        StorageError: the disk refused.
    """
    content = {name: storable(tensor) for name, tensor in tensors.items()}
    disk().fill(Point.CONTENT_WRITTEN, file, lambda path: save_file(content, path, metadata))


def storable(tensor: Tensor) -> Tensor:
    """`tensor` as safetensors wants it: on the CPU, in one piece, sharing its memory with no other."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def load_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors in a file of trained parameters.

    Raises:
        InputError: the file cannot be read, or a tensor in it is no parameter (int8, bool, complex) or not finite.
    """
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise InputError(f"Cannot read {file}: {error}") from None
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() and tensor.dtype not in INDICES:
            raise InputError(
                f"{file}: {name} is of the type {type_name(tensor.dtype)}; trained numbers are floating-point."
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{file}: {name} holds numbers that are not finite.")
    return tensors


def check_fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> None:
    """Refuse tensors of other names, shapes or types than the `expected` ones.

    source: the file or the skill that they are from, as the message names it.

    Raises:
        InputError: they do not fit.
    """
    odd = sorted(tensors.keys() ^ expected.keys())
    if odd:
        verb = "lacks" if odd[0] in expected else "also holds"
        raise InputError(f"{source} does not fit: it {verb} {odd[0]!r} ({len(odd)} names differ).")
    for name, tensor in expected.items():
        actual = tensors[name]
        if actual.shape != tensor.shape or actual.dtype != tensor.dtype:
            raise InputError(
                f"{source} does not fit: {name} is {type_name(actual.dtype)} {list(actual.shape)} there, "
                f"{type_name(tensor.dtype)} {list(tensor.shape)} here."
            )


def type_name(dtype: torch.dtype) -> str:
    """A type of numbers as configs of transformers have it, `bfloat16`."""
    return str(dtype).removeprefix("torch.")
