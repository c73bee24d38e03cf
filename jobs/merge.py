"""Merging models into one, tensor by tensor, without loading any of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field

from polyray.cluster.tasks import run_pieces
from polyray.errors import InputError, Interrupted
from polyray.files import remove_folder
from polyray.files.disk import disk
from polyray.formats.names import file_name
from polyray.merging.diagnostics import MergeFigures
from polyray.merging.folder import Shard, finish, merge_piece, model_folders
from polyray.merging.into_skill import check_into_skill, merge_into_skill
from polyray.merging.mergekit import read_mergekit
from polyray.merging.plan import MergePlan, OutputTensor, plan_merge
from polyray.merging.recipe import MergeRecipe
from polyray.merging.stream import Advance
from polyray.progress import bars
from polyray.reports.console import print_note
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.skills.skill import save_skill
from polyray.training.held_out import HeldOutOptions, check_held_out, held_out_losses

SKILLS = "skills"  # folder of a merged skill in the run folder


class Config(MergeRecipe):
    """Merge models into one."""

    files: ClassVar[frozenset[str]] = MergeRecipe.files | {"mergekit"}

    mergekit: str = ""
    """File with a recipe in mergekit's YAML, read in place of base, parts, merge and dtype."""
    parallel: bool = False
    """Merge the files of the model side by side, as Ray tasks; else one after the other, without Ray."""
    threads: int = Field(1, ge=1)
    """Threads of a process that merges."""
    held_out: HeldOutOptions = HeldOutOptions()
    """Examples that the result is tried on, such as for a sweep."""
    keep: bool = True
    """Keep merged models after they were tried; a sweep that only compares them needs none."""


def run(config: Config, run: Run) -> Result:
    """Merge file by file; a merge that was stopped goes on with the files that lack. See `Config`.

    Raises:
        InputError: `parallel` is set where nodes share no folder, or as `check`.
        Interrupted: the run was asked to stop.
    """
    plan = check(config)
    if plan is None:
        return _into_skill(config, run)
    if config.parallel and run.store is not None:
        raise InputError("parallel=true needs an --out that all nodes share: a path, not a URL.")
    shards = [Shard(plan=plan, index=index, out=run.out) for index in range(len(plan.shards))]
    with bars(run.console) as display:
        line = display.add_task("merging", total=sum(map(n_entries, plan.shards)), note="")
        merge_files = _side_by_side if config.parallel else _in_turn
        records = merge_files(config, shards, run, lambda entries: display.update(line, advance=entries))
    figures = [_total(of_model) for of_model in zip(*records, strict=True)]
    cards = finish(plan, run.out, figures, disk().digest)
    tensors = [tensor for shard in plan.shards for tensor in shard]
    folders = model_folders(plan, run.out)
    of_models = {
        f"{factor:g}": {**card["shares"], **_tried(config, str(folders[factor]))} for factor, card in cards.items()
    }
    if config.keep:
        print_note(run.console, f"The merged model is in {', '.join(map(str, folders.values()))}.")
    else:
        for folder in folders.values():
            remove_folder(folder)
    metrics: dict[str, Any] = {
        "n_tensors": len(tensors), "n_files": len(shards), "bytes": sum(tensor.n_bytes for tensor in tensors),
        **({"factors": of_models} if plan.recipe.factors else next(iter(of_models.values()))),
    }  # fmt: skip
    return Result(metrics=metrics)


def _tried(config: Config, backbone: str, skills: Sequence[str] = ()) -> dict[str, Any]:
    """Losses on held-out examples; empty where there are none."""
    suite = check_held_out(config.held_out)
    return {} if suite is None else held_out_losses(config.held_out, suite, backbone, skills)


def _total(records: Sequence[Mapping[str, Any]]) -> MergeFigures:
    """The figures of a model from the records of its files."""
    return sum((MergeFigures.of_record(record) for record in records), MergeFigures())


def check(config: Config) -> MergePlan | None:
    """Look at the files of all models; None: the parts become a skill, and fit each other.

    Raises:
        InputError: the recipe lacks something, or a file does not fit.
    """
    check_held_out(config.held_out)
    if not config.keep and config.held_out.split == "none":
        raise InputError("keep=false removes the model after it was tried: set held_out.split.")
    if not config.mergekit:
        recipe = _recipe(config)
        if recipe.into == "model":
            return plan_merge(recipe)
        check_into_skill(recipe)
        return None
    if config.base or config.parts:
        raise InputError("mergekit=FILE brings base and parts along: leave base and parts out.")
    recipe = read_mergekit(Path(config.mergekit))
    return plan_merge(recipe.model_copy(update={"shard": config.shard, "seed": config.seed}))


def _recipe(config: Config) -> MergeRecipe:
    return MergeRecipe.model_validate(config.model_dump(include=set(MergeRecipe.model_fields)))


def _into_skill(config: Config, run: Run) -> Result:
    """Merge skills into one."""
    torch.set_num_threads(config.threads)
    folder = run.out / SKILLS / file_name(config.name)
    card = save_skill(merge_into_skill(_recipe(config), folder), folder)
    print_note(run.console, f"The merged skill is in {folder}.")
    figures = {name: x for name, x in card.merge.items() if name == "compression_error"}
    figures |= _tried(config, config.base or card.backbone.name, [*config.base_skills, str(folder)])
    return Result(metrics={"n_parts": len(config.parts), **figures}, skills=(f"{SKILLS}/{folder.name}",))


def n_entries(tensors: Sequence[OutputTensor]) -> int:
    """Numbers in some tensors."""
    return sum(tensor.n_entries for tensor in tensors)


def _in_turn(config: Config, shards: Sequence[Shard], run: Run, advance: Advance) -> list[list[dict[str, Any]]]:
    """Merge the files in this process: for each the records of the models' figures."""
    torch.set_num_threads(config.threads)
    records = []
    for shard in shards:
        if run.stop_requested:
            raise Interrupted("The merge was stopped, as asked; files that are merged stay.")
        records.append(merge_piece(shard, advance)["figures"])
    return records


def _side_by_side(config: Config, shards: Sequence[Shard], run: Run, advance: Advance) -> list[list[dict[str, Any]]]:
    """Merge the files as Ray tasks."""
    run.cluster.start()
    records: dict[int, list[dict[str, Any]]] = {}
    for index, outcome in run_pieces(merge_piece, shards, run):
        records[index] = outcome["figures"]
        advance(n_entries(shards[index].plan.shards[index]))
    return [records[index] for index in range(len(shards))]


JOB = Job(
    about="merge models into one, of any size, tensor by tensor", Config=Config, run=run, check=check,
    goals=("loss", "losses", "factors", "compression_error", "shrink", "on_floor"),
)  # fmt: skip
