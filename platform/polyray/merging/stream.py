"""Merging of models of any size, tensor by tensor, in memory of a few stretches of each."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.formats.layer_names import layer_of
from polyray.merging.diagnostics import Agreement, MergeFigures
from polyray.merging.fisher_weighted import EwrShares
from polyray.merging.methods import merge_with_shares
from polyray.merging.model_files import Buffer, ModelFiles
from polyray.merging.operands import Operands, Part
from polyray.merging.plan import MergePlan, OutputTensor, weight_and_density
from polyray.merging.recipe import MergeRecipe
from polyray.merging.safetensors_file import write_at, write_header
from polyray.merging.sources import open_sources

STRETCH = 1 << 18  # entries of a tensor that are merged together, by methods that may

Advance = Callable[[int], object]


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """Files that operands are read from, each with a buffer of its own."""

    files: ModelFiles
    buffer: Buffer = field(default_factory=Buffer)
    widened: Buffer = field(default_factory=Buffer)

    def read(self, name: str, start: int, stop: int, shape: tuple[int, ...]) -> Tensor:
        """A stretch of a tensor in fp32 (fp64 where it is fp64), in `shape`; it holds until the next one is read."""
        stretch = self.files.read(name, start, stop, self.buffer)
        if stretch.dtype not in (torch.float32, torch.float64):
            wide = self.widened.room(len(stretch) * 4).view(torch.float32)
            stretch = wide.copy_(stretch)
        return stretch.view(shape)

    def read_square(self, name: str) -> Tensor | None:
        """A square matrix as a whole, None where the files have none of this name."""
        if name not in self.files.tensors:
            return None
        width = self.files.tensors[name].shape[0]
        return self.read(name, 0, width * width, (width, width))


@dataclass(frozen=True, eq=False)
class Readers:
    """Sources of each tensor, as in `Sources`."""

    models: Sequence[Source]
    fishers: Sequence[Source]
    inner_products: Sequence[Source]


def merge_shard(plan: MergePlan, index: int, files: Mapping[float, Path], advance: Advance = int) -> list[MergeFigures]:
    """Merge the tensors of one file of each merged model, and write them over what stood there: figures of each.

    Args:
        files: by factor of the parts' weights.
        advance: told how many entries of a merged model were written since it was told before.

    Raises:
        InputError: a file cannot be read, or the method refuses its operands.
        OSError: the disk refuses; the files are not whole then.
    """
    tensors = plan.shards[index]
    figures = [MergeFigures() for _ in files]
    with ExitStack() as stack:
        outputs = [stack.enter_context(open(file, "wb")).fileno() for file in files.values()]
        opened = stack.enter_context(open_sources(plan.recipe))
        readers = Readers(
            *([Source(files=x) for x in files] for files in (opened.models, opened.fishers, opened.inner_products))
        )
        for output in outputs:
            begins = write_header(output, {tensor.name: tensor for tensor in tensors})
        for tensor, begin in zip(tensors, begins, strict=True):
            for start, stop, shape in _stretches(plan.recipe, tensor):
                stretch = _read(plan.recipe, readers, tensor, (start, stop, shape))
                figures[0] += _agreement(tensor, stretch)
                for number, (factor, output) in enumerate(zip(files, outputs, strict=True)):
                    result, of_stretch = _result(plan.recipe, stretch, tensor, factor)
                    figures[number] += of_stretch
                    write_at(output, begin + start * tensor.dtype.itemsize, result.to(tensor.dtype))
                advance(stop - start)
    return figures


def _read(
    recipe: MergeRecipe, readers: Readers, tensor: OutputTensor, stretch: tuple[int, int, tuple[int, ...]]
) -> Operands | Tensor:
    """Operands for a stretch of a tensor; the stretch itself where it is copied."""
    if tensor.merged:
        return _operands(recipe, readers, tensor, stretch)
    first = readers.models[0]
    return first.files.read(tensor.name, *stretch[:2], first.buffer)


def _result(
    recipe: MergeRecipe, stretch: Operands | Tensor, tensor: OutputTensor, factor: float
) -> tuple[Tensor, MergeFigures]:
    """The merged stretch, flat, under a factor of the parts' weights, and its figures."""
    if isinstance(stretch, Tensor):
        return stretch, MergeFigures()
    parts = [replace(part, weight=factor * part.weight) for part in stretch.parts]
    operands = replace(stretch, parts=parts, generator=_generator(recipe, tensor.name))
    result, shares = _merged(recipe, operands, tensor)
    return result, MergeFigures(shares=shares)


def _agreement(tensor: OutputTensor, stretch: Operands | Tensor) -> MergeFigures:
    """The parts' agreement in a stretch, whatever they are multiplied with."""
    agreement = None if isinstance(stretch, Tensor) else Agreement.of(stretch)
    return MergeFigures(layers={} if agreement is None else {layer_of(tensor.name): agreement})


def _stretches(recipe: MergeRecipe, tensor: OutputTensor) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Beginning, end and shape of the pieces that a tensor is merged in."""
    n_entries = tensor.n_entries
    if not tensor.merged or recipe.merge.method.by_entry:
        for start in range(0, n_entries, STRETCH):
            stop = min(start + STRETCH, n_entries)
            yield start, stop, (stop - start,)
    elif n_entries:
        yield 0, n_entries, tensor.shape


def _operands(
    recipe: MergeRecipe, readers: Readers, tensor: OutputTensor, stretch: tuple[int, int, tuple[int, ...]]
) -> Operands:
    """Operands for a stretch of a tensor, read from the models."""
    models = [source.read(tensor.name, *stretch) for source in readers.models]
    fishers = iter([source.read(tensor.name, *stretch) for source in readers.fishers])
    products = iter([source.read_square(tensor.name) for source in readers.inner_products])
    base = None
    if recipe.base:
        fisher = next(fishers) if recipe.merge.method.needs_fisher and recipe.merge.method.needs_base else None
        base = Part(tensor=models[0], weight=recipe.base_weight, fisher=fisher)
    parts = []
    n_parts = len(recipe.parts)
    for options, content, source in zip(recipe.parts, models[-n_parts:], readers.models[-n_parts:], strict=True):
        weight, density = weight_and_density(options, tensor.name)
        is_change = options.delta or source.files.holds_changes
        part = Part(
            tensor=content if base is None or not is_change else content + base.tensor, weight=weight, density=density,
            fisher=next(fishers, None), inner_products=next(products, None),
        )  # fmt: skip
        parts.append(part)
    return Operands(parts=parts, base=base)


def _generator(recipe: MergeRecipe, name: str) -> torch.Generator | None:
    """Generator for this tensor, whatever file it is in; None where the method draws nothing."""
    if not recipe.merge.method.draws:
        return None
    seed = hashlib.sha256(f"{recipe.seed} {name}".encode()).digest()[:8]
    return torch.Generator().manual_seed(int.from_bytes(seed, "little"))


def _merged(recipe: MergeRecipe, operands: Operands, tensor: OutputTensor) -> tuple[Tensor, EwrShares]:
    """The merged stretch, flat, and what elastic weight removal did in it.

    Raises:
        InputError: the method refuses the operands, or the result holds numbers that are not finite.
    """
    try:
        result, shares = merge_with_shares(recipe.merge.method, operands, recipe.merge.options)
    except InputError as error:
        raise InputError(f"{tensor.name}: {error}") from None
    if not bool(torch.isfinite(result.sum())) and not bool(torch.isfinite(result).all()):
        raise InputError(f"{tensor.name}: the merged tensor holds numbers that are not finite; look at its parts.")
    return result.reshape(-1), shares
