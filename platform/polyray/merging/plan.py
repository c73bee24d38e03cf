"""A merge that has been looked at: all names, shapes and types fit, and every output file has its tensors."""

import fnmatch
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.formats.text import MEBI
from polyray.merging.model_files import ModelFiles
from polyray.merging.recipe import DTYPES, MergeRecipe, PartOptions
from polyray.merging.safetensors_file import StoredTensor, TensorForm
from polyray.merging.skill_checks import check_skills
from polyray.merging.sources import open_sources

LISTED = 5  # names in a message


@dataclass(frozen=True, kw_only=True)
class OutputTensor(TensorForm):
    """A tensor of the merged model.

    merged: whether it is computed; else it is copied, because its numbers are no real ones.
    """

    name: str
    merged: bool


@dataclass(frozen=True, kw_only=True)
class MergePlan:
    """The recipe, and the tensors of each file of the merged model.

    files: of each model and Fisher information that is read, by the path in the recipe. fingerprint: changes when the
    recipe, or the size or date of one of these files does.
    """

    recipe: MergeRecipe
    shards: tuple[tuple[OutputTensor, ...], ...]
    files: Mapping[str, tuple[Path, ...]]
    fingerprint: str


def plan_merge(recipe: MergeRecipe) -> MergePlan:
    """Look at all files' headers.

    Raises:
        InputError: a model or Fisher information lacks, cannot be read, or does not fit the others.
    """
    _check_recipe(recipe)
    with open_sources(recipe) as sources:
        first, *others = sources.models
        for model in others:
            check_same(first, model)
        real = {name: tensor for name, tensor in first.tensors.items() if tensor.dtype.is_floating_point}
        for fisher in sources.fishers:
            check_same(first, fisher, real)
        for products in sources.inner_products:
            _check_inner_products(first, products, sources.inner_products[0])
        files = sources.files()
        shards = _shards(recipe, first.tensors)
    check_skills(recipe)
    return MergePlan(recipe=recipe, shards=shards, files=files, fingerprint=_fingerprint(recipe, files))


def _fingerprint(recipe: MergeRecipe, files: Mapping[str, Sequence[Path]]) -> str:
    state: list[Any] = [recipe.model_dump(mode="json")]
    for file in (file for of_source in files.values() for file in of_source):
        status = file.stat()
        state.append([str(file), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()


def weight_and_density(part: PartOptions, name: str) -> tuple[float, float]:
    """Weight and density of a part in the tensor called `name`."""
    for options in part.patterns:
        if fnmatch.fnmatchcase(name, options.pattern):
            weight = part.weight if options.weight is None else options.weight
            return weight, part.density if options.density is None else options.density
    return part.weight, part.density


def _check_recipe(recipe: MergeRecipe) -> None:
    """Refuse a recipe that lacks what its method needs.

    Raises:
        InputError: that is so.
    """
    kind, method = recipe.merge.kind, recipe.merge.method
    if not recipe.parts:
        raise InputError("A merge needs parts: parts=[{model: FOLDER, weight: 1}, ...].")
    if method.needs_base and not recipe.base:
        raise InputError(f"merge.kind={kind} needs base=FOLDER, the model that the parts were fine-tuned from.")
    if not recipe.base and any(part.delta for part in recipe.parts):
        raise InputError("A part with delta=true is added to the base: set base=FOLDER.")
    if method.needs_fisher:
        lacking = [part.model for part in recipe.parts if not part.fisher]
        if lacking:
            raise InputError(f"merge.kind={kind} needs the Fisher information of each part; {lacking[0]} has none.")
        if method.needs_base and not recipe.base_fisher:
            raise InputError(f"merge.kind={kind} needs base_fisher=FILE, the Fisher information of the base.")
    elif recipe.base_fisher or any(part.fisher for part in recipe.parts):
        raise InputError(f"merge.kind={kind} reads no Fisher information: leave fisher and base_fisher out.")
    lacking = [part.model for part in recipe.parts if not part.inner_products]
    if method.needs_inner_products and lacking:
        raise InputError(
            f"merge.kind={kind} needs the inner products of each part's inputs; {lacking[0]} has none: "
            "polyray run fisher statistic=inner_products."
        )
    if not method.needs_inner_products and len(lacking) < len(recipe.parts):
        raise InputError(f"merge.kind={kind} reads no inner products: leave inner_products out.")


def _check_inner_products(first: ModelFiles, products: ModelFiles, others: ModelFiles) -> None:
    """Refuse inner products of other layers than the models', or than another part's.

    Raises:
        InputError: that is so.
    """
    for name, tensor in products.tensors.items():
        weight = first.tensors.get(name)
        if weight is None or len(weight.shape) != 2 or tensor.shape != (weight.shape[1], weight.shape[1]):
            shape = list(tensor.shape)
            raise InputError(f"{products.path} does not fit {first.path}: {name} {shape} is of no layer there.")
    odd = sorted(products.tensors.keys() ^ others.tensors.keys())
    if odd:
        raise InputError(f"{products.path} and {others.path} are of different layers, first {odd[0]}.")


def check_same(first: ModelFiles, other: ModelFiles, expected: Mapping[str, StoredTensor] | None = None) -> None:
    """Refuse files whose tensors have other names, shapes or kinds of numbers.

    Args:
        expected: the tensors of `first` that must be there; all, and no others, unless given.

    Raises:
        InputError: the message lists what differs.
    """
    tensors = first.tensors if expected is None else expected
    missing = [name for name in tensors if name not in other.tensors]
    more = [name for name in other.tensors if name not in tensors] if expected is None else []
    shapes = [
        f"{name} {list(other.tensors[name].shape)} in place of {list(tensor.shape)}"
        for name, tensor in tensors.items()
        if name in other.tensors and other.tensors[name].shape != tensor.shape
    ]
    types = [
        f"{name} {other.tensors[name].type_name} in place of {tensor.type_name}"
        for name, tensor in tensors.items()
        if name in other.tensors and other.tensors[name].dtype.is_floating_point != tensor.dtype.is_floating_point
    ]
    complaints = [
        _listed("it lacks", missing), _listed("it also has", more), _listed("shapes differ:", shapes),
        _listed("numbers differ:", types),
    ]  # fmt: skip
    if any(complaints):
        raise InputError(f"{other.path} does not fit {first.path}: " + "; ".join(filter(None, complaints)) + ".")


def _listed(beginning: str, names: Sequence[str]) -> str:
    """The beginning and the first names; empty where there is none."""
    rest = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{beginning} {', '.join(names[:LISTED])}{rest}" if names else ""


def _shards(recipe: MergeRecipe, tensors: Mapping[str, StoredTensor]) -> tuple[tuple[OutputTensor, ...], ...]:
    """The tensors in their order, in files of at most `recipe.shard` MiB, but of one tensor at least."""
    shards: list[list[OutputTensor]] = []
    room = 0
    for name, tensor in tensors.items():
        merged = tensor.dtype.is_floating_point
        dtype = DTYPES.get(recipe.dtype, tensor.dtype) if merged else tensor.dtype
        output = OutputTensor(name=name, shape=tensor.shape, dtype=dtype, merged=merged)
        if not shards or output.n_bytes > room:
            shards.append([])
            room = recipe.shard * MEBI
        shards[-1].append(output)
        room -= output.n_bytes
    return tuple(map(tuple, shards))
