"""Multi-task training as it runs on every worker."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from polyray.backbones import Backbone, load_backbone
from polyray.cluster.train import Worker
from polyray.jobs.configs import PolytroponConfig
from polyray.objectives.batches import Batch, Sampler, collate, count_too_long
from polyray.runs.journal import Journal, truth_of
from polyray.skills.inventory import Provenance
from polyray.tasks import Suite
from polyray.training.data import category_allocation, encoded, held, of_examples, part, pooled_examples, suite_of
from polyray.training.evaluation import answers, score
from polyray.training.loop import Training, fit
from polyray.training.model import Form, Modular, build
from polyray.training.optimizers import optimizer


def work(payload: Mapping[str, Any], worker: Worker) -> None:
    """The training itself, on every worker of the group; the first one writes."""
    config, out = PolytroponConfig.model_validate(payload["config"]), Path(payload["out"])
    suite = suite_of(config)
    torch.manual_seed(config.training.seed)
    backbone = load_backbone(config.backbone)
    backbone.network.to(worker.device)
    tasks = part(suite, "train")
    data = _Data(config, suite, backbone, worker)
    tests = encoded(
        backbone, suite, [x for t in tasks for x in held(suite.tasks[t], "test", None, config.evaluation.max_examples)],
        config.text.lengths(),
    )  # fmt: skip
    form = form_of(config, suite)
    generator = torch.Generator().manual_seed(config.training.seed)
    model = build(backbone, form, tasks, config.routing.prior(), generator)
    model.to(worker.device)
    if config.training.checkpointing:
        backbone.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    adam = optimizer(model, config.training.speeds())
    noise = torch.Generator(worker.device).manual_seed(config.training.seed + 1 + worker.rank)
    training = Training(model=model, forward=model, adam=adam, batches=data, noise=noise, average=worker.mean)
    journal = Journal(
        config, out, worker, Provenance.of(backbone, suite.name, tasks, data.fingerprints, config.training.seed), form
    )
    journal.restore(training, data.sampler)
    training.forward = _spread(config, model, worker, training)
    _train(config, training, data, journal, worker)
    if worker.rank == 0 or config.training.strategy == "fsdp":  # a sharded backbone runs on all workers or on none
        predictions = answers(model, tests.rows, config.evaluation.decoding(), config.text.max_output)
        scores = score(suite.tasks, tests.examples, predictions)
        cut = count_too_long(data.rows, config.text.lengths())
        if worker.rank == 0:
            journal.end(training, scores, {"too_long": cut}, truth_of(suite))


def _train(config: PolytroponConfig, training: Training, data: "_Data", journal: "Journal", worker: Worker) -> None:
    section = config.training
    every = section.report_every
    for report in fit(
        training,
        section.speeds(),
        section.steps,
        every=every,
        accumulate=section.accumulate,
        precision=section.precision,
    ):
        last = report.step == section.steps
        journal.write(report, training.model, worker)
        due = report.step // section.save_every > (report.step - every) // section.save_every
        if last or due:
            journal.save(training, data.sampler, worker)


def _spread(config: PolytroponConfig, model: Modular, worker: Worker, training: Training) -> torch.nn.Module:
    if config.training.strategy == "ddp":
        wrapped = worker.wrap(model)
        if isinstance(wrapped, DistributedDataParallel):
            training.apart = wrapped.no_sync
        return wrapped
    from torch.distributed.fsdp import fully_shard  # an eighth of a worker's start

    for layer in blocks(model.network):
        fully_shard(layer)
    training.reduce = worker.average_gradients
    return model


def blocks(network: torch.nn.Module) -> list[torch.nn.Module]:
    """The repeated blocks of a network: the members of its module lists that hold lists no more."""
    lists = [module for module in network.modules() if isinstance(module, torch.nn.ModuleList)]
    inner = {id(member) for outer in lists for child in outer for member in child.modules() if member is not child}
    return [block for held in lists if id(held) not in inner for block in held]


def form_of(config: PolytroponConfig, suite: Suite) -> Form:
    """What the config's inventory looks like on the suite's tasks."""
    allocation = config.routing.allocation or category_allocation(suite)
    return Form(
        module=config.modules.kind, modules=config.modules.options(), sites=config.modules.sites,
        routing=config.routing.kind, router=config.routing.options(allocation),
    )  # fmt: skip


class _Data:
    """Batches of the training tasks; every worker draws the same batch and takes its share of it."""

    def __init__(self, config: PolytroponConfig, suite: Suite, backbone: Backbone, worker: Worker) -> None:
        self._backbone, self._worker = backbone, worker
        tasks = part(suite, "train")
        by_task = [pooled_examples(suite.tasks[task], config.tasks.train_splits) for task in tasks]
        self.rows = encoded(backbone, suite, [x for examples in by_task for x in examples], config.text.lengths()).rows
        self.fingerprints = {task: of_examples(examples) for task, examples in zip(tasks, by_task, strict=True)}
        sizes = [len(examples) for examples in by_task]
        self._first = [sum(sizes[:task]) for task in range(len(sizes))]
        self.sampler = Sampler(sizes, config.training.batch, config.training.task_power, config.training.seed)

    def draw(self) -> Batch:
        """This worker's share of the next batch."""
        places = [self._first[task] + row for task, row in self.sampler.draw()]
        rows = [self.rows[place] for place in places[self._worker.rank :: self._worker.world]]
        return collate(self._backbone, rows).to(self._worker.device)
