"""Multi-task training as it runs on every worker."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from polyray.backbones import Backbone, load_backbone
from polyray.errors import Interrupted
from polyray.routing import RoutingOptions
from polyray.runs.run import Run
from polyray.runs.selection import Selection
from polyray.skills.card import BackboneCard
from polyray.skills.inventory import Provenance
from polyray.skills.spec import InventorySpec
from polyray.tasks import Suite, load_suite
from polyray.training.batches import TrainingData
from polyray.training.data import (
    category_allocation,
    encoded_once,
    first_examples,
    partition_tasks,
)
from polyray.training.evaluation import predictions, score
from polyray.training.journal import Journal, planted_allocation
from polyray.training.loop import Training, fit
from polyray.training.model import Modular, build
from polyray.training.optimizers import optimizer
from polyray.training.recipe import TrainingRecipe
from polyray.training.schedule import read_schedule
from polyray.training.tickets import dense_spec, rewound
from polyray.training.validation import Validator
from polyray.training.worker import Worker

DENSE, SPARSE = "dense", "sparse"  # phases of a training with lottery tickets


def train(values: Mapping[str, Any], run: Run, worker: Worker) -> dict[str, Any]:
    """Train on every worker of the group, score, and write skills and allocation: the metrics, on the first worker.

    Args:
        values: a `TrainingRecipe` as plain data.

    Raises:
        Interrupted: the user asked the run to stop; a checkpoint is saved.
    """
    recipe = TrainingRecipe.model_validate(values)
    suite = load_suite(recipe.tasks)
    backbone = load_backbone(recipe.backbone, dtype=recipe.backbone_dtype)
    torch.manual_seed(recipe.training.seed)  # after the backbone, which may draw or not
    backbone.network.to(worker.device)
    tasks = partition_tasks(suite, "train")
    data = TrainingData(recipe, suite, backbone, worker)
    limit = recipe.evaluation.max_examples
    examples = [example for task in tasks for example in first_examples(suite.tasks[task], "test", None, limit)]
    tests = encoded_once(backbone, suite, examples, recipe.text)
    validator = Validator.of(recipe, suite, backbone)
    spec = spec_of(recipe, suite)
    if recipe.training.checkpointing:
        backbone.model.activation_checkpointing_enable({"use_reentrant": False})
    provenance = _provenance(recipe, suite, data, backbone)

    def fresh(spec: InventorySpec) -> Modular:
        generator = torch.Generator().manual_seed(recipe.training.seed)
        return build(backbone, spec, [suite.tasks[task] for task in tasks], generator).to(worker.device)

    def search(model: Modular) -> None:
        dense = recipe.dense()
        journal = Journal(run.phase(DENSE), worker, provenance, dense_spec(spec))
        _learn(dense, _training(dense, model, data, worker), data, journal, worker, None)

    stretch = run.phase(SPARSE) if recipe.ticket.steps else run
    if recipe.ticket.steps and stretch.newest_checkpoint is None:
        model = rewound(spec, fresh(dense_spec(spec)), search)
        data.restart()
        torch.manual_seed(recipe.training.seed)
    else:
        model = fresh(spec)
    training, selection = _training(recipe, model, data, worker), Selection(recipe.training.keep)
    journal, adam = Journal(stretch, worker, provenance, spec, selection), training.adam
    _learn(recipe, training, data, journal, worker, validator)
    selection.install(model)
    if worker.rank == 0 or recipe.training.strategy == "fsdp":  # a sharded backbone runs on all workers or on none
        predicted = predictions(model, tests, recipe.evaluation, recipe.text.max_output)
        scores = score(suite.tasks, tests.examples, predicted)
        too_long = sum(row.cut for row in (*data.encoded.rows, *tests.rows))
        if run.first:
            sizes = {str(group["name"]): sum(p.numel() for p in group["params"]) for group in adam.param_groups}
            counts = {"too_long": too_long, "parameters": sizes}
            return journal.end(training, scores, counts, planted_allocation(suite))
    return {}


def _training(recipe: TrainingRecipe, model: Modular, data: TrainingData, worker: Worker) -> Training:
    """A training of `model` from its beginning."""
    options = recipe.training
    adam = optimizer(model, options, options.backbone_lr)
    noise = torch.Generator(worker.device).manual_seed(options.seed + 1 + worker.rank)
    return Training(model=model, forward=model, adam=adam, batches=data, noise=noise, average=worker.mean)


def _learn(
    recipe: TrainingRecipe, training: Training, data: TrainingData, journal: Journal, worker: Worker,
    validator: Validator | None,
) -> None:  # fmt: skip
    """Train from where the run stands to the end of the recipe."""
    model, adam = training.model, training.adam
    journal.restore(training, data.sampler)
    if recipe.training.schedule:
        schedule = read_schedule(Path(recipe.training.schedule))
        training.set_peaks = lambda step: schedule.install(adam, step, model.router.speed)
    training.forward = _spread(recipe, model, worker, training)
    _train(recipe, training, data, journal, worker, validator)


def _provenance(recipe: TrainingRecipe, suite: Suite, data: TrainingData, backbone: Backbone) -> Provenance:
    """Origin of the skills."""
    tasks = partition_tasks(suite, "train")
    return Provenance(
        backbone=backbone_card(backbone), suite=suite.name, tasks=tasks, data=data.fingerprints,
        seed=recipe.training.seed, forms={task: suite.tasks[task].form(recipe.text) for task in tasks},
    )  # fmt: skip


def backbone_card(backbone: Backbone) -> BackboneCard:
    """Name, kind, revision, fingerprint and number format of a backbone."""
    return BackboneCard(
        name=backbone.name, kind=backbone.kind, revision=backbone.revision, fingerprint=backbone.fingerprint,
        dtype=backbone.dtype, trimmed_from=backbone.trimmed_from,
    )  # fmt: skip


def _train(
    recipe: TrainingRecipe, training: Training, data: TrainingData, journal: Journal, worker: Worker,
    validator: Validator | None,
) -> None:  # fmt: skip
    options = recipe.training
    every = options.report_every

    def stop() -> bool:
        return worker.mean(float(journal.stop_requested)) > 0  # all members or none

    for report in fit(
        training, options, options.steps, every=every, accumulate=options.accumulate, precision=options.precision,
        validate_every=recipe.evaluation.every, stop=stop,
    ):  # fmt: skip
        if report.due or report.validate:  # all members validate alike, so that none waits for another
            figures = validator(training.model) if report.validate and validator is not None else None
            journal.write(report, training.model, figures)
        last = report.step == options.steps
        save = report.due and report.step // options.save_every > (report.step - every) // options.save_every
        if last or save or report.stop:
            journal.save(training, data.sampler)
        if report.stop and not last:
            raise Interrupted(f"Stopped after {report.step} of {options.steps} steps, as asked.")


def _spread(recipe: TrainingRecipe, model: Modular, worker: Worker, training: Training) -> torch.nn.Module:
    if recipe.training.strategy == "ddp":
        wrapped = worker.wrap(model)
        if isinstance(wrapped, DistributedDataParallel):
            training.apart = wrapped.no_sync
        return wrapped
    from torch.distributed.fsdp import fully_shard  # a second of imports, which only sharding needs

    for block in blocks(model.network):
        fully_shard(block)
    training.reduce = worker.average_gradients
    return model


def blocks(network: torch.nn.Module) -> list[torch.nn.Module]:
    """The repeated blocks of a network: the members of its module lists that hold lists no more."""
    lists = [module for module in network.modules() if isinstance(module, torch.nn.ModuleList)]
    inner = {id(member) for outer in lists for child in outer for member in child.modules() if member is not child}
    return [block for outer in lists if id(outer) not in inner for block in outer]


def spec_of(recipe: TrainingRecipe, suite: Suite) -> InventorySpec:
    """The inventory that the recipe asks for; an expert's empty allocation becomes one skill for each category."""
    routing = recipe.routing
    options = routing.options.model_dump()
    if options.get("allocation") == {}:
        values = {"kind": routing.kind, **options, "allocation": category_allocation(suite)}
        routing = RoutingOptions.model_validate(values)
    return InventorySpec(modules=recipe.modules, routing=routing)
