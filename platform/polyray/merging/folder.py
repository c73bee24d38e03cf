"""A merged model as a folder of transformers, made file by file, so that a merge that was stopped goes on."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from polyray.files import make_folders, remove_folder, write_file, writing
from polyray.files.disk import Point, disk
from polyray.formats import is_file, is_folder, read_json_object
from polyray.formats.text import MEBI
from polyray.merging.diagnostics import AGREEMENT, MergeFigures
from polyray.merging.fisher_weighted import EwrShares
from polyray.merging.model_files import INDEX, WHOLE
from polyray.merging.plan import MergePlan
from polyray.merging.recipe import DTYPES
from polyray.merging.stream import Advance, merge_shard
from polyray.runs.notes import note_outcome, outcome_noted
from polyray.skills.tensors import type_name

CARD, SCHEMA = "merge.json", 1
MODEL, MODELS = "model", "models"  # folder of the merged model in a run folder, or of those of several factors
SHARDS, NOTE = "shards", "merged.json"  # folder of files that are merged already; note beside them
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf", ".index.json")
LARGEST_COPY = 256 * MEBI  # of a file beside the weights, such as a tokenizer's
DTYPE_FIELDS = ("dtype", "torch_dtype")  # of config.json


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of each merged model, to be written below the folder `out`."""

    plan: MergePlan
    index: int
    out: Path

    def moved(self, out: Path) -> Self:
        """The same files below another folder."""
        return type(self)(plan=self.plan, index=self.index, out=out)

    @property
    def folder(self) -> Path:
        """The folder of the files, and of a note on what they were merged from."""
        return self.out / SHARDS / f"{self.index:05}"

    def files(self, folder: Path) -> dict[float, Path]:
        """The files in `folder`, by factor."""
        factors = self.plan.recipe.all_factors
        return {factor: folder / f"{number}.safetensors" for number, factor in enumerate(factors)}


def merge_piece(shard: Shard, advance: Advance = int) -> dict[str, Any]:
    """Merge one file of each model, unless they are there already from the same parts: records of their figures.

    Raises:
        InputError: a part cannot be read, or the method refuses it.
        StorageError: the disk refused.
    """
    earlier = outcome_noted(shard.folder / NOTE, shard.plan.fingerprint)
    if earlier is not None and all(map(is_file, shard.files(shard.folder).values())):
        return earlier
    make_folders(shard.folder.parent)
    with writing(shard.folder) as folder:
        figures = _filled(shard, shard.files(folder), advance)
        outcome = {"figures": [each.record() for each in figures]}
        note_outcome(folder / NOTE, shard.plan.fingerprint, outcome)
    return outcome


def _filled(shard: Shard, files: Mapping[float, Path], advance: Advance) -> list[MergeFigures]:
    """Merge into the files, which the disk may refuse."""
    figures: list[MergeFigures] = []
    first = next(iter(files.values()))
    disk().fill(
        Point.CONTENT_WRITTEN, first, lambda _: figures.extend(merge_shard(shard.plan, shard.index, files, advance))
    )
    return figures


def model_folders(plan: MergePlan, out: Path) -> dict[float, Path]:
    """The folders of the merged models by factor: `out/model`, or one in `out/models` for each of several factors."""
    if not plan.recipe.factors:
        return {plan.recipe.factor: out / MODEL}
    return {factor: out / MODELS / f"{factor:g}" for factor in plan.recipe.all_factors}


def finish(
    plan: MergePlan, out: Path, figures: Sequence[MergeFigures], digest: Callable[[Path], str]
) -> dict[float, dict[str, Any]]:
    """Put the merged files together as folders, and write the parts' agreement: each folder's card by factor.

    Args:
        figures: of each model.
        digest: the checksum of a file, such as `polyray.files.disk.Disk.digest`.

    Raises:
        InputError: a file beside the weights cannot be read.
        StorageError: the disk refused.
    """
    provenance = _provenance(plan, digest)
    cards = {}
    for number, (factor, folder) in enumerate(model_folders(plan, out).items()):
        card = {**provenance, "factor": factor, "shares": _fractions(figures[number].shares)}
        cards[factor] = _finish_one(plan, out, factor, folder, card, digest)
    if figures[0].layers:
        write_file(out / AGREEMENT, json.dumps(_agreement(plan, figures[0]), indent=1))
    remove_folder(out / SHARDS)
    return cards


def _finish_one(
    plan: MergePlan, out: Path, factor: float, target: Path, card: dict[str, Any], digest: Callable[[Path], str]
) -> dict[str, Any]:
    """Put the files of one model together as the folder `target`: its card."""
    n_shards = len(plan.shards)
    names = [WHOLE] if n_shards == 1 else [f"model-{i + 1:05}-of-{n_shards:05}.safetensors" for i in range(n_shards)]
    with writing(target) as folder:
        for index, name in enumerate(names):
            shard = Shard(plan=plan, index=index, out=out)
            disk().rename(Point.FILE_RENAMED, shard.files(shard.folder)[factor], folder / name)
        card["sha256"] = {name: digest(folder / name) for name in names}
        if n_shards > 1:
            write_file(folder / INDEX, _index(plan, names))
        for name, content in _companions(plan):
            write_file(folder / name, content)
        write_file(folder / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    return card


def _agreement(plan: MergePlan, figures: MergeFigures) -> dict[str, Any]:
    """Names of the parts, and cosines, overlaps and sign conflicts of each layer and of all."""
    total = sum(list(figures.layers.values())[1:], next(iter(figures.layers.values())))
    layers = {name: agreement.figures() for name, agreement in figures.layers.items()}
    paths = [part.model for part in plan.recipe.parts]
    names = [Path(path).name for path in paths]
    return {"parts": names if len({*names}) == len(names) else paths, "layers": layers, "total": total.figures()}


def _fractions(shares: EwrShares) -> dict[str, float]:
    """Share of Fisher entries on the floor, and of the change's squared length that is shrinking; none elsewhere."""
    if not shares.n_fisher:
        return {}
    change = shares.shrink + shares.task
    return {
        "on_floor": shares.on_floor / shares.n_fisher,
        "shrink": shares.shrink / change if change else 0.0,
        "shrink_length": shares.shrink**0.5,
        "task_length": shares.task**0.5,
    }


def _provenance(plan: MergePlan, digest: Callable[[Path], str]) -> dict[str, Any]:
    """The recipe, and the checksums of all files that were read."""
    parents = {path: {file.name: digest(file) for file in files} for path, files in plan.files.items()}
    return {"schema": SCHEMA, "recipe": plan.recipe.model_dump(mode="json"), "parents": parents}


def _index(plan: MergePlan, names: list[str]) -> str:
    weight_map = {x.name: name for name, shard in zip(names, plan.shards, strict=True) for x in shard}
    sizes = [x.n_bytes for shard in plan.shards for x in shard]
    return json.dumps({"metadata": {"total_size": sum(sizes)}, "weight_map": weight_map}, indent=2) + "\n"


def _companions(plan: MergePlan) -> Iterator[tuple[str, bytes]]:
    """Config, tokenizer and the like of the base, or of the first part, with the merged model's number format."""
    source = Path(plan.recipe.base or plan.recipe.parts[0].model)
    if not is_folder(source):
        return
    for file in sorted(source.iterdir()):
        if not file.is_file() or file.name.endswith(WEIGHT_SUFFIXES) or file.name in (CARD, "README.md"):
            continue
        if file.stat().st_size <= LARGEST_COPY:
            yield file.name, _with_dtype(plan, file) if file.name == "config.json" else file.read_bytes()


def _with_dtype(plan: MergePlan, file: Path) -> bytes:
    """The config of a model, with the number format that its weights have now."""
    dtype = DTYPES.get(plan.recipe.dtype)
    if dtype is None:
        return file.read_bytes()
    config: Mapping[str, Any] = read_json_object(file)
    fields = [name for name in DTYPE_FIELDS if name in config] or [DTYPE_FIELDS[0]]
    return (
        json.dumps({**config, **dict.fromkeys(fields, type_name(dtype))}, indent=2, ensure_ascii=False) + "\n"
    ).encode()
