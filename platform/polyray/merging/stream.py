"""Merging of models of any size, tensor by tensor, in memory of a few stretches of each."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from polyray.errors import InputError
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


def merge_shard(plan: MergePlan, index: int, file: Path, advance: Advance = int) -> EwrShares:
    """Merge the tensors of one file of the merged model, and write it to `file`, over what stood there.

    Args:
        advance: told how many entries of the merged model were written since it was told before.

    Raises:
        InputError: a file cannot be read, or the method refuses its operands.
        OSError: the disk refuses; `file` is not whole then.
    """
    recipe, tensors = plan.recipe, plan.shards[index]
    shares = EwrShares()
    with ExitStack() as stack, open(file, "wb") as output:
        opened = stack.enter_context(open_sources(recipe))
        sources = [Source(files=files) for files in (*opened.models, *opened.fishers)]
        begins = write_header(output.fileno(), {tensor.name: tensor for tensor in tensors})
        for tensor, begin in zip(tensors, begins, strict=True):
            for start, stop, shape in _stretches(recipe, tensor):
                if tensor.merged:
                    operands = _operands(recipe, sources, tensor, (start, stop, shape))
                    result, of_stretch = _merged(recipe, operands, tensor)
                    shares += of_stretch
                else:
                    result = sources[0].files.read(tensor.name, start, stop, sources[0].buffer)
                write_at(output.fileno(), begin + start * tensor.dtype.itemsize, result.to(tensor.dtype))
                advance(stop - start)
    return shares


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
    recipe: MergeRecipe, sources: Sequence[Source], tensor: OutputTensor, stretch: tuple[int, int, tuple[int, ...]]
) -> Operands:
    """Operands for a stretch of a tensor, read from the models."""
    stretches = [source.read(tensor.name, *stretch) for source in sources]
    first = 1 if recipe.base else 0
    fishers = iter(stretches[first + len(recipe.parts) :])
    base = None
    if recipe.base:
        fisher = next(fishers) if recipe.merge.method.needs_fisher and recipe.merge.method.needs_base else None
        base = Part(tensor=stretches[0], weight=recipe.base_weight, fisher=fisher)
    parts = []
    for options, content, source in zip(recipe.parts, stretches[first:], sources[first:], strict=False):
        weight, density = weight_and_density(options, tensor.name)
        is_change = options.delta or source.files.holds_changes
        model = content if base is None or not is_change else content + base.tensor
        parts.append(Part(tensor=model, weight=weight, density=density, fisher=next(fishers, None)))
    return Operands(parts=parts, base=base, generator=_generator(recipe, tensor.name))


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
