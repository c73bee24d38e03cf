"""Nested state as a safetensors file and a JSON file, exact and without pickle.

The JSON file holds the tree; tensors and arrays stand in the safetensors file under their path in the tree. What JSON
cannot say is an object with one key that begins with "$":

    {"$tensor": PATH}, {"$array": PATH}, {"$scalar": PATH}    a torch tensor, a NumPy array, a NumPy number
    {"$tuple": [...]}, {"$items": [[key, value], ...]}        a tuple, a dict whose keys are not all plain strings
    {"$float": "nan"}, {"$bytes": HEXADECIMAL}                a number that JSON has no word for, bytes
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyray.files import write_file
from polyray.files.disk import Point, disk

TENSORS, TREE = ".safetensors", ".json"  # suffixes of the two files

STORABLE = frozenset(
    {
        torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32,
        torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64,
        torch.float8_e4m3fn, torch.float8_e5m2,
    }
)  # fmt: skip
"""Types of tensors and arrays that are stored."""


def save_state(file: Path, state: Any) -> None:
    """Write `state` as FILE.safetensors and FILE.json.

    Args:
        file: path without suffix; write into a folder that is itself written whole, since these are two files.
        state: dicts, lists, tuples, numbers, strings, bytes, booleans, None, torch tensors, NumPy arrays and numbers,
            nested in any way. Subclasses of dict come back as dict; tensors come back on the CPU, without gradients.

    Raises:
        TypeError: something in it is of another type; the message gives its path.
    """
    tensors: dict[str, Tensor] = {}
    tree = _encoded(state, (), tensors)
    disk().fill(Point.CONTENT_WRITTEN, file.with_name(file.name + TENSORS), lambda path: save_file(tensors, path))
    write_file(file.with_name(file.name + TREE), json.dumps(tree, allow_nan=False) + "\n")


def load_state(file: Path) -> Any:
    """State that `save_state` wrote: the same types, shapes and bits."""
    tensors = load_file(file.with_name(file.name + TENSORS))
    return _decoded(json.loads(file.with_name(file.name + TREE).read_text(encoding="utf-8")), tensors)


def _encoded(value: Any, path: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON; its tensors are added to `tensors`."""
    if isinstance(value, Tensor):
        return {"$tensor": _stored(value, path, tensors)}
    if isinstance(value, np.ndarray | np.generic):  # before float, of which NumPy's double is a subclass
        kind = "$array" if isinstance(value, np.ndarray) else "$scalar"
        return {kind: _stored(_as_tensor(value, path), path, tensors)}
    if isinstance(value, Mapping):
        return _encoded_mapping(value, path, tensors)
    if type(value) in (list, tuple):
        items = [_encoded(item, (*path, str(index)), tensors) for index, item in enumerate(value)]
        return items if type(value) is list else {"$tuple": items}
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if type(value) is bytes:
        return {"$bytes": value.hex()}
    if value is None or type(value) in (bool, int, str):
        return value
    raise TypeError(f"{_at(path)} is a {type(value).__name__}, which a state file cannot hold.")


def _encoded_mapping(value: Mapping[Any, Any], path: tuple[str, ...], tensors: dict[str, Tensor]) -> dict[str, Any]:
    values = {key: _encoded(item, (*path, str(key)), tensors) for key, item in value.items()}
    if all(type(key) is str and not key.startswith("$") for key in values):
        return values
    return {"$items": [[_encoded(key, (*path, "key"), tensors), item] for key, item in values.items()]}


def _stored(tensor: Tensor, path: tuple[str, ...], tensors: dict[str, Tensor]) -> str:
    """The name under which `tensor` was added to `tensors`."""
    if tensor.dtype not in STORABLE or tensor.layout != torch.strided:
        raise TypeError(f"{_at(path)} is a tensor of {tensor.dtype}, {tensor.layout}, which a state file cannot hold.")
    name = "/".join(path) or "state"
    while name in tensors or name == "__metadata__":  # the latter is safetensors' own
        name += "'"
    tensors[name] = tensor.detach().cpu().resolve_conj().contiguous().clone()
    return name


def _as_tensor(value: Any, path: tuple[str, ...]) -> Tensor:
    """A NumPy array or number as a tensor with the same bits."""
    try:
        return torch.from_numpy(np.array(value, order="C"))
    except (TypeError, ValueError):  # of another kind, of another order of bytes
        raise TypeError(f"{_at(path)} is an array of {value.dtype}, which a state file cannot hold.") from None


def _at(path: tuple[str, ...]) -> str:
    return f"state[{']['.join(path)}]" if path else "The state"


def _decoded(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decoded(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    kind, *others = value or [""]
    if others or not kind.startswith("$"):
        return {key: _decoded(item, tensors) for key, item in value.items()}
    content = value[kind]
    match kind:
        case "$tensor":
            return tensors[content]
        case "$array":
            return tensors[content].numpy()
        case "$scalar":
            return tensors[content].numpy()[()]
        case "$tuple":
            return tuple(_decoded(item, tensors) for item in content)
        case "$items":
            return {_decoded(key, tensors): _decoded(item, tensors) for key, item in content}
        case "$float":
            return float(content)
        case "$bytes":
            return bytes.fromhex(content)
    raise ValueError(f"A state file holds {kind!r}: it was written by a newer version of Polyray.")
