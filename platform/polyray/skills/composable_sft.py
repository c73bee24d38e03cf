"""Sparse fine-tunings of the library composable-sft: read without running code that they might bring, and written.

A folder, or a repository on the Hub, with one file of `torch.save` (src/sft/sft.py in
github.com/cambridgeltl/composable-sft):

    {"diffs": {PARAMETER: {"size": shape, "index_steps": [ints], "values": tensor [k]}}, "abs": {PARAMETER: tensor}}

The steps are differences of ascending indices into the parameter flattened column by column.
"""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.files import writing
from polyray.files.disk import Point, disk
from polyray.modules.changes import SparseChange
from polyray.skills.card import BackboneCard
from polyray.skills.composable_sft_names import family_prefix, fetch, names_on
from polyray.skills.skill import Skill
from polyray.skills.sparse_delta import SparseDelta, on_network, sparse_delta, sparse_skill
from polyray.sparsity.largest import index_type

FILE = "pytorch_diff.bin"
DIFFS, HEADS = "diffs", "abs"  # keys of its content
SIZE, STEPS, VALUES = "size", "index_steps", "values"  # keys of a change

SCALAR = cast(Callable[..., Any], np.int64(0).__reduce__()[0])
"""Makes NumPy numbers, which stand among the steps, of their bytes."""
NAMED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (SCALAR, "numpy.core.multiarray.scalar"), (SCALAR, "numpy._core.multiarray.scalar"), np.dtype, np.dtypes.Int64DType,
]  # fmt: skip
"""All that a file may name beside torch's own tensors and plain Python values."""


def import_composable_sft(
    source: Path | str, *, name: str, backbone: BackboneCard, network: nn.Module | None = None
) -> Skill:
    """A sparse fine-tuning as a skill called `name` on `backbone`.

    Args:
        source: its folder, or its name on the Hub, such as cambridgeltl/mbert-lang-sft-ha-small.
        network: the backbone. The changes are then checked against it, and get the names of its parameters, which begin
            with `bert.` or the like in the file. Without it they keep the file's names. Changes of a pooler, which
            encoders are loaded without, stay in the skill for other libraries.

    Raises:
        InputError: the file cannot be found or read, is damaged, holds something else, or does not fit the backbone.
    """
    file = fetch(source, FILE, backbone.name)
    delta = read_sft(file)
    if network is not None:
        delta = SparseDelta(changes=names_on(network, delta.changes, file), heads=delta.heads)
        on_network(delta, network, str(file))
    return sparse_skill(delta, name=name, backbone=backbone)


def export_composable_sft(skill: Skill, folder: Path | str, *, network: nn.Module) -> None:
    """Write a sparse delta as a folder that composable-sft's `SFT` loads; one that stood there is replaced.

    Heads that Polyray made are left out, since other libraries have no such heads; those of an imported file are kept.

    Args:
        network: the backbone, with or without values, which says how other libraries' names of its parameters begin.

    Raises:
        InputError: the skill is no sparse delta.
        StorageError: the disk refused.
    """
    delta = sparse_delta(skill)
    prefix = family_prefix(network)
    bare = "" if prefix == "." or any(name.startswith(prefix) for name, _ in network.named_parameters()) else prefix
    changes = {f"{bare}{name}": change for name, change in delta.changes.items()}
    heads = {name: head for name, head in delta.heads.items() if "/" not in name}
    write_sft(SparseDelta(changes=changes, heads=heads), Path(folder))


def read_sft(file: Path) -> SparseDelta:
    """The sparse fine-tuning in a file, with its values bit for bit and the names that it uses.

    Raises:
        InputError: the file cannot be read, is damaged, names Python objects that it may not, or holds something else.
    """
    content = _load(file)
    if not isinstance(content, dict) or content.keys() != {DIFFS, HEADS}:
        raise InputError(f"{file} holds no sparse fine-tuning: expected a dict with the keys {DIFFS!r} and {HEADS!r}.")
    diffs, heads = content[DIFFS], content[HEADS]
    if not isinstance(diffs, dict) or not isinstance(heads, dict):
        raise InputError(f"{file} holds no sparse fine-tuning: {DIFFS!r} and {HEADS!r} must be dicts.")
    for name, head in heads.items():
        if not isinstance(head, Tensor) or not _is_finite(head):
            raise InputError(f"{file}: {HEADS}: {name} is no tensor of finite floating-point numbers.")
    changes = {str(name): _change(diff, f"{file}: {name}") for name, diff in diffs.items()}
    return SparseDelta(changes=changes, heads={str(name): head.detach() for name, head in heads.items()})


def write_sft(delta: SparseDelta, folder: Path) -> None:
    """Write a sparse delta into a folder, whole or not at all; one that stood there is replaced.

    The file names no Python object but torch's tensors, so that every version of torch loads it safely.

    Raises:
        StorageError: the disk refused.
    """
    content = {
        DIFFS: {name: _diff(change) for name, change in delta.changes.items()},
        HEADS: {name: head.detach().cpu().clone() for name, head in delta.heads.items()},
    }
    with writing(folder) as temporary:
        disk().fill(Point.CONTENT_WRITTEN, temporary / FILE, lambda path: torch.save(content, path))


def _load(file: Path) -> Any:
    """The content of a file of `torch.save`, whose sums are checked before anything in it is looked at."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"Cannot read {file}: {error}.") from None
    if damaged:
        raise InputError(f"{file} is damaged: {damaged} in it has not the sum that was written with it.")
    try:
        with torch.serialization.safe_globals(NAMED):
            return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{file} holds something else than a sparse fine-tuning, and was not run: {reason}") from None


def _change(diff: Any, source: str) -> SparseChange:
    """A change in the order of rows, of one in the order of columns."""
    if not isinstance(diff, dict) or diff.keys() != {SIZE, STEPS, VALUES}:
        raise InputError(f"{source}: expected a dict with the keys {SIZE!r}, {STEPS!r} and {VALUES!r}.")
    shape, values = _shape(diff[SIZE], source), diff[VALUES]
    if not isinstance(values, Tensor) or values.dim() != 1 or not _is_finite(values):
        raise InputError(f"{source}: {VALUES}: expected one list of finite floating-point numbers.")
    by_column = _indices(diff[STEPS], int(np.prod(shape)), source)
    if len(by_column) != len(values):
        raise InputError(f"{source} has {len(by_column)} indices and {len(values)} values.")
    by_row = np.ravel_multi_index(np.unravel_index(by_column, shape, order="F"), shape)
    order = torch.from_numpy(np.argsort(by_row))
    support = torch.from_numpy(by_row)[order].to(index_type(int(np.prod(shape))))
    return SparseChange(values=values.detach()[order], support=support, shape=shape)


def _shape(size: Any, source: str) -> tuple[int, ...]:
    if not isinstance(size, list | tuple) or not size or any(type(n) is not int or n < 1 for n in size):
        raise InputError(f"{source}: {SIZE} is {size!r:.80}; expected the shape of a tensor.")
    return tuple(size)


def _indices(steps: Any, n_entries: int, source: str) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Ascending indices of their differences."""
    integers = isinstance(steps, list) and {type(step) for step in steps} <= {int, np.int64}
    if not integers or any(not 0 <= step < n_entries for step in steps) or 0 in steps[1:]:
        raise InputError(
            f"{source}: {STEPS}: expected whole numbers from 1 to the {n_entries} entries of the parameter."
        )
    indices = np.cumsum(np.array(steps, dtype=np.int64))
    if len(indices) and indices[-1] >= n_entries:
        raise InputError(f"{source}: {STEPS} lead to the index {indices[-1]}, outside of the {n_entries} entries.")
    return indices


def _diff(change: SparseChange) -> Mapping[str, Any]:
    """A change in the order of columns, of one in the order of rows."""
    by_row = change.support.cpu().long().numpy()
    by_column = np.ravel_multi_index(np.unravel_index(by_row, change.shape), change.shape, order="F")
    order = np.argsort(by_column)
    steps = np.diff(by_column[order], prepend=0).tolist()
    values = change.values.detach().cpu()[torch.from_numpy(order)].clone()
    return {SIZE: torch.Size(change.shape), STEPS: steps, VALUES: values}


def _is_finite(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and bool(torch.isfinite(tensor).all())
