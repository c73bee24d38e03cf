"""Models on disk as named tensors, of which a stretch at a time is read into memory that is used again."""

import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.formats import is_file, is_folder, read_json_object
from polyray.merging.safetensors_file import StoredTensor, read_at, read_header

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


class Buffer:
    """Memory that stretches of tensors are read into, each over the one before."""

    def __init__(self) -> None:
        self._bytes = torch.empty(0, dtype=torch.uint8)

    def room(self, n_bytes: int) -> Tensor:
        """The first `n_bytes` bytes, as uint8 [n_bytes]."""
        if len(self._bytes) < n_bytes:
            self._bytes = torch.empty(n_bytes, dtype=torch.uint8)
        return self._bytes[:n_bytes]


class ModelFiles(Protocol):
    """A model on disk.

    Attributes:
        path: the file or folder that the user named.
        tensors: by name, in the order of the files; one for each weight, whatever its aliases.
        files: all that are read.
        holds_changes: whether what is read is to be added to the base, as a skill's change is.
    """

    path: Path
    tensors: Mapping[str, StoredTensor]
    files: tuple[Path, ...]
    holds_changes: bool

    def read(self, name: str, start: int, stop: int, buffer: Buffer) -> Tensor:
        """Entries `start` to `stop` of the flattened tensor, in the type of the file.

        They hold until `buffer` is used again.

        Raises:
            InputError: the file cannot be read.
        """

    def close(self) -> None:
        """Close the files."""


class SafetensorsFiles:
    """A model in safetensors files, read at positions: no page of them is mapped."""

    holds_changes = False

    def __init__(self, path: Path, files: list[Path]) -> None:
        """
        Raises:
            InputError: a file is damaged, or two of them hold a tensor of one name.
        """
        self.path, self.files = path, tuple(files)
        tensors: dict[str, StoredTensor] = {}
        for file in files:
            for name, tensor in read_header(file).items():
                if name in tensors:
                    raise InputError(f"{path}: {name} is in {tensors[name].file.name} and in {file.name}.")
                tensors[name] = tensor
        self.tensors: Mapping[str, StoredTensor] = tensors
        self._open: dict[Path, int] = {}

    def read(self, name: str, start: int, stop: int, buffer: Buffer) -> Tensor:
        """See `ModelFiles`."""
        tensor = self.tensors[name]
        size = tensor.dtype.itemsize
        room = buffer.room((stop - start) * size)
        read_at(self._descriptor(tensor.file), tensor.begin + start * size, room, tensor.file)
        return room.view(tensor.dtype)

    def _descriptor(self, file: Path) -> int:
        if file not in self._open:
            self._open[file] = os.open(file, os.O_RDONLY)
        return self._open[file]

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


class PickledFiles:
    """A model in files that torch.save wrote, of which nothing but tensors is unpickled."""

    holds_changes = False

    def __init__(self, path: Path, files: list[Path]) -> None:
        """
        Raises:
            InputError: a file is damaged, or holds more than tensors.
        """
        self.path, self.files = path, tuple(files)
        tensors: dict[str, StoredTensor] = {}
        self._content: dict[str, Tensor] = {}
        seen: set[tuple[Any, ...]] = set()
        for file in files:
            for name, tensor in _unpickled(file).items():
                memory = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride())
                if memory in seen and tensor.numel():
                    continue  # an alias, such as the output embeddings that are the input embeddings
                seen.add(memory)
                self._content[name] = tensor
                tensors[name] = StoredTensor(file=file, dtype=tensor.dtype, shape=tuple(tensor.shape))
        self.tensors: Mapping[str, StoredTensor] = tensors

    def read(self, name: str, start: int, stop: int, buffer: Buffer) -> Tensor:
        """See `ModelFiles`."""
        return self._content[name].reshape(-1)[start:stop]

    def close(self) -> None:
        """Let the files go."""
        self._content.clear()


@contextmanager
def open_model(path: Path) -> Iterator[ModelFiles]:
    """The model in a safetensors or torch file, or in a folder with such files, single or sharded.

    Raises:
        InputError: there is none, or a file is damaged.
    """
    model = _find(path)
    try:
        yield model
    finally:
        model.close()


def _find(path: Path) -> ModelFiles:
    if is_file(path):
        return PickledFiles(path, [path]) if path.suffix in (".bin", ".pt", ".pth") else SafetensorsFiles(path, [path])
    if not is_folder(path):
        raise InputError(f"{path} is no file and no folder: name a folder of transformers, or a safetensors file.")
    if is_file(path / WHOLE):
        return SafetensorsFiles(path, [path / WHOLE])
    if is_file(path / INDEX):
        return SafetensorsFiles(path, _shards(path / INDEX))
    if is_file(path / PICKLED):
        return PickledFiles(path, [path / PICKLED])
    if is_file(path / PICKLED_INDEX):
        return PickledFiles(path, _shards(path / PICKLED_INDEX))
    raise InputError(f"{path} holds no model: neither {WHOLE}, {INDEX}, {PICKLED} nor {PICKLED_INDEX} is there.")


def _shards(index: Path) -> list[Path]:
    """The files that an index names.

    Raises:
        InputError: it is no index, or a file lies elsewhere or is missing.
    """
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise InputError(f"{index} has no weight_map from tensors to files.")
    files = [index.parent / name for name in dict.fromkeys(weight_map.values())]
    for file in files:
        if file.parent.resolve() != index.parent.resolve() or not is_file(file):
            raise InputError(f"{index} names {file.name!r:.80}, which is not beside it.")
    return files


def _unpickled(file: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"Cannot read {file} as tensors alone: {str(error)[:300]}") from None
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise InputError(f"{file} holds more than named tensors: expected a state dict.")
    return content
