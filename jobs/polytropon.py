"""Multi-task training of an inventory of skills and its routing (Ponti et al. 2023)."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch.distributed.fsdp import fully_shard

from polyray.backbones import Backbone, load_backbone
from polyray.batches import Batch, Sampler, collate, count_too_long
from polyray.cluster.progress import PROGRESS, follow
from polyray.cluster.session import ray_session
from polyray.cluster.train import Group, TrainingRun, Worker
from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.modules.kinds import MODULES
from polyray.routing import ROUTERS, HyperFormer, Learned, TokenMoE
from polyray.routing.allocation import analyse, assignment_accuracy, features, recovery_ami
from polyray.tasks import Suite, read_all
from polyray.training.checkpoint import latest_checkpoint, read_checkpoint, save_checkpoint
from polyray.training.evaluation import answers, score
from polyray.training.inventory_folder import Origin, load_inventory, save_inventory
from polyray.training.loop import Report, Training, fit
from polyray.training.model import Form, Modular, build
from polyray.training.optimizers import adam_tensors, load_adam, optimizer

from .data import (
    SuiteConfig,
    category_allocation,
    encoded,
    held,
    mean_score,
    of_examples,
    part,
    pooled_examples,
    suite_of,
)
from .job import Context, Result
from .report import ALLOCATION, write_training
from .sections import EvaluationSection, ModulesSection, RoutingSection, TextSection, TrainingSection, WorkersSection


class Config(SuiteConfig):
    """Train skills and their routing on the training tasks of a suite."""

    backbone: str = "tiny-seq2seq"
    """Network under the skills: tiny-seq2seq, tiny-causal, tiny-encoder, a folder, or a name on the Hugging Face
    Hub."""
    text: TextSection = TextSection()
    """Lengths of texts."""
    modules: ModulesSection = ModulesSection()
    """What a skill is made of."""
    routing: RoutingSection = RoutingSection()
    """How tasks share skills."""
    training: TrainingSection = TrainingSection()
    """How long and how fast."""
    evaluation: EvaluationSection = EvaluationSection()
    """How the training tasks' test examples are scored at the end."""
    workers: WorkersSection = WorkersSection()
    """Who trains."""


SKILLS = "skills"
METRICS = "metrics.jsonl"
RESULT = "trained.json"


def run(config: Config, context: Context) -> Result:
    """Train on Ray, then score; see `Config`."""
    check(config)
    with ray_session(context.address, context.out / "logs" / "ray"):
        trained = start(config, context.out)
        follow({config.routing.kind: (context.out, config.training.steps)}, lambda: trained.running, context.console)
        trained.result()
    return finish(config, context)


def check(config: Config) -> Suite:
    """Read all data and look up all names, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    lookup(ROUTERS, config.routing.kind, "router")
    lookup(MODULES, config.modules.kind, "module kind")
    suite = suite_of(config)
    read_all(suite, part(suite, "train"))
    if config.training.batch % config.workers.n:
        raise InputError(f"training.batch={config.training.batch} does not divide among workers.n={config.workers.n}.")
    if config.training.strategy == "fsdp" and config.training.backbone_lr:
        raise InputError("training.strategy=fsdp shards a frozen backbone: set training.backbone_lr=0.")
    return suite


def start(config: Config, out: Path) -> TrainingRun:
    """Begin (or go on with) the training in the folder `out`, in the background."""
    workers = config.workers
    group = Group(workers=workers.n, cpus=workers.cpus, gpus=workers.gpus, restarts=workers.restarts)
    return TrainingRun(work, {"config": config.model_dump(mode="json"), "out": str(out)}, group, out / "logs" / "train")


def finish(config: Config, context: Context) -> Result:
    """What a training that has ended found out, with its report."""
    told = json.loads((context.out / RESULT).read_text(encoding="utf-8"))
    write_training(context.out, told)
    return Result(metrics=told, skills=(SKILLS,))


def work(payload: Mapping[str, Any], worker: Worker) -> None:
    """The training itself, on every worker of the group; the first one writes."""
    config, out = Config.model_validate(payload["config"]), Path(payload["out"])
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
    journal = _Journal(
        config, out, worker, Origin.of(backbone, suite.name, tasks, data.fingerprints, config.training.seed), form
    )
    journal.restore(training, data.sampler)
    training.forward = _spread(config, model, worker, training)
    _train(config, training, data, journal, worker)
    if worker.rank == 0:
        predictions = answers(model, tests.rows, config.evaluation.decoding(), config.text.max_output)
        scores = score(suite.tasks, tests.examples, predictions)
        journal.end(training, scores, {"too_long": count_too_long(data.rows, config.text.lengths())}, truth_of(suite))


def _train(config: Config, training: Training, data: "_Data", journal: "_Journal", worker: Worker) -> None:
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


def _spread(config: Config, model: Modular, worker: Worker, training: Training) -> torch.nn.Module:
    if config.training.strategy == "ddp":
        return worker.wrap(model)
    for layer in blocks(model.network):
        fully_shard(layer)
    training.reduce = worker.average_gradients
    return model


def blocks(network: torch.nn.Module) -> list[torch.nn.Module]:
    """The repeated blocks of a network: the members of its module lists that hold lists no more."""
    lists = [module for module in network.modules() if isinstance(module, torch.nn.ModuleList)]
    inner = {id(member) for outer in lists for child in outer for member in child.modules() if member is not child}
    return [block for held in lists if id(held) not in inner for block in held]


def form_of(config: Config, suite: Suite) -> Form:
    """What the config's inventory looks like on the suite's tasks."""
    allocation = config.routing.allocation or category_allocation(suite)
    return Form(
        module=config.modules.kind, modules=config.modules.options(), sites=config.modules.sites,
        routing=config.routing.kind, router=config.routing.options(allocation),
    )  # fmt: skip


class _Data:
    """Batches of the training tasks; every worker draws the same batch and takes its share of it."""

    def __init__(self, config: Config, suite: Suite, backbone: Backbone, worker: Worker) -> None:
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


class _Journal:
    """What a training writes: metrics, progress, checkpoints, and its skills at the end."""

    def __init__(self, config: Config, out: Path, worker: Worker, origin: Origin, form: Form) -> None:
        self._config, self._out, self._worker, self._origin, self._form = config, out, worker, origin, form
        self._checkpoints = out / "checkpoints"
        self._started, self._tokens = time.monotonic(), 0

    def restore(self, training: Training, sampler: Sampler) -> None:
        """Go on from the newest whole checkpoint, if any; lines of metrics after it are taken back."""
        path = latest_checkpoint(self._checkpoints)
        if self._worker.rank == 0:
            _keep_lines(self._out / METRICS, 0 if path is None else int(path.name.removeprefix("step-")))
        if path is None:
            return
        load_inventory(path / SKILLS).restore(training.model)
        tensors, state = read_checkpoint(path, ("training",))
        load_adam(training.adam, tensors["training"])
        rank = self._worker.rank
        training.noise.set_state(tensors["training"][f"noise/{rank}"])
        torch.set_rng_state(tensors["training"][f"torch/{rank}"])
        sampler.restore(state["sampler"])
        training.step = state["step"]

    def write(self, report: Report, model: Modular, worker: Worker) -> None:
        """One line of metrics and one of progress."""
        values: dict[str, Any] = {"step": report.step, "loss": report.loss, "lr": report.rates}
        self._tokens += report.tokens
        worker.report({"step": report.step, "loss": report.loss})
        if worker.rank:
            return
        probabilities = allocation_of(model)
        if probabilities is not None:
            values |= analyse(probabilities).metrics()
        with (self._out / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        seconds = time.monotonic() - self._started
        speed = {"step": report.step, "loss": report.loss, "tokens_per_second": worker.world * self._tokens / seconds}
        with (self._out / PROGRESS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(speed) + "\n")

    def save(self, training: Training, sampler: Sampler, worker: Worker) -> None:
        """A checkpoint of everything that the next step depends on."""
        states = worker.gather((training.noise.get_state(), torch.get_rng_state()))
        if worker.rank:
            return
        tensors = adam_tensors(training.adam)
        for rank, (noise, own) in enumerate(states):
            tensors |= {f"noise/{rank}": noise, f"torch/{rank}": own}
        state = {"step": training.step, "sampler": sampler.state()}
        save_checkpoint(
            self._checkpoints, training.step, {"training": tensors}, state,
            lambda folder: save_inventory(folder / SKILLS, training.model, self._form, self._origin, {}),
        )  # fmt: skip

    def end(self, training: Training, scores: dict[str, dict[str, float]], more: Mapping[str, Any], truth: Any) -> None:
        """The skills and the result."""
        metrics: dict[str, Any] = {"mean": mean_score(scores), "tasks": scores, **more}
        probabilities = allocation_of(training.model)
        if probabilities is not None:
            metrics["allocation"] = analyse(probabilities).metrics()
            save_file({"probabilities": torch.from_numpy(probabilities)}, self._out / ALLOCATION)
            names = {"tasks": training.model.router.tasks.names, "sites": sites_of(training.model)}
            (self._out / "allocation.json").write_text(json.dumps(names), encoding="utf-8")
            if truth is not None and probabilities.shape[2] > 1:
                metrics["recovery"] = recovery(probabilities, truth)
        save_inventory(self._out / SKILLS, training.model, self._form, self._origin, {"mean": metrics["mean"]})
        (self._out / RESULT).write_text(json.dumps(metrics), encoding="utf-8")


def truth_of(suite: Suite) -> Any:
    """[train tasks, latent skills], 1 where a planted task uses a skill; None where nothing was planted."""
    if suite.allocation is None:
        return None
    tasks = part(suite, "train")
    truth = np.zeros((len(tasks), 1 + max(skill for task in tasks for skill in suite.allocation[task])))
    for row, task in enumerate(tasks):
        truth[row, list(suite.allocation[task])] = 1
    return truth


def recovery(probabilities: Any, truth: Any) -> dict[str, float]:
    """How well a learned allocation [sites, tasks, skills] recovers the planted one."""
    return {
        "ami": recovery_ami(features(probabilities), truth),
        "assignment_accuracy": assignment_accuracy(probabilities, truth),
    }


def sites_of(model: Modular) -> list[str]:
    """The names of the rows of an allocation: sites, or the whole backbone, each head apart."""
    sites = model.inventory.sites if isinstance(model.router, Learned | HyperFormer) else ("all sites",)
    if isinstance(model.router, Learned | HyperFormer) and model.router.options.granularity == "model":
        sites = ("all sites",)
    heads = model.inventory.n_heads if isinstance(model.router, Learned) else 1
    return [f"{site} {head}" if heads > 1 else site for site in sites for head in range(heads)]


def allocation_of(model: Modular) -> Any:
    """[sites, tasks, skills] of a router that has such a table, else None."""
    router = model.router
    return None if isinstance(router, TokenMoE) else router.probabilities().cpu().double().numpy()


def _keep_lines(file: Path, step: int) -> None:
    if not file.exists():
        return
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    file.write_text("".join(kept), encoding="utf-8")
