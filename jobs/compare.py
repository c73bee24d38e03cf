"""The paper's comparison in one run: routers trained on the same tasks, adapted to the same unseen ones."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator
from rich.console import Console

from polyray.config import dotted, load_config
from polyray.errors import InputError
from polyray.jobs import adapt, polytropon
from polyray.lookup import all_known
from polyray.modules.lora import LoraOptions
from polyray.modules.options import SkillOptions
from polyray.objectives import EvaluationOptions
from polyray.progress import follow
from polyray.reports.console import print_note, print_table
from polyray.reports.labels import few_shot_cell, in_order, router_label
from polyray.reports.report import write_report
from polyray.routing import ROUTERS, RoutingOptions
from polyray.routing.options import LearnedOptions
from polyray.runs.folder import RunFolder
from polyray.runs.job import Job, Result
from polyray.runs.result import final_metrics
from polyray.runs.run import Run
from polyray.tasks import load_suite, read_all
from polyray.training.data import partition_tasks, repeats, unlearned
from polyray.training.journal import SKILLS
from polyray.training.methods import AdaptationOptions, check_methods
from polyray.training.pieces import AdaptationRecipe, Piece
from polyray.training.recipe import TrainingOptions


class Config(polytropon.Config):
    """Train several routers on a suite's training tasks and adapt each to its test tasks.

    The defaults suit the planted suite, where a tiny backbone learns from nothing together with its skills.
    """

    modules: SkillOptions = SkillOptions(options=LoraOptions(rank=4), sites=("ffn",))
    """Kind, options and sites of the modules that a skill is made of."""
    routing: RoutingOptions = RoutingOptions(options=LearnedOptions(n_skills=5))
    """Options of the routers: each takes those that it has; `routing.kind` is not read."""
    training: TrainingOptions = TrainingOptions(
        steps=400, lr=2e-2, routing_lr=2e-1, backbone_lr=3e-3, beta2=0.99, report_every=20, save_every=200
    )
    """Length, batches and learning rates of the training."""
    kinds: tuple[str, ...] = ("shared", "private", "polytropon")
    """Routers to compare: see `polyray list routers`."""
    each: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Fields that differ for one router, by dotted name: {private: {training.lr: 0.003}}."""
    adapt: AdaptationOptions = AdaptationOptions(
        steps=50, rates=(3e-3, 1e-2), routing_lr=1.0, beta2=0.99, looks=5, warmup=0.1
    )
    """Adaptation of each to the test tasks."""

    @field_validator("kinds")
    @classmethod
    def _routers_there_are(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        all_known(kinds, ROUTERS, "router")
        return kinds

    @field_validator("each")
    @classmethod
    def _compared_routers(cls, each: dict[str, dict[str, Any]], info: ValidationInfo) -> dict[str, dict[str, Any]]:
        if each and "kinds" in info.data:  # else the kinds are wrong, which is reported for itself
            all_known(each, info.data["kinds"], "router among kinds")
        return each

    def unread(self) -> Mapping[str, str]:
        """`routing.kind`, because `kinds` names the routers."""
        return {"routing.kind": "kinds names the routers that are compared"}


def run(config: Config, run: Run) -> Result:
    """Train all routers side by side on Ray, adapt them, and compare; see `Config`."""
    if run.store is not None:
        raise InputError(
            "compare adapts the skills that it has trained on all nodes, and needs a folder that they share: "
            f"{run.store.url} is none. Choose a path as --out."
        )
    suite = load_suite(config.tasks)
    tests = partition_tasks(suite, "test")
    trainings = {kind: _training(config, kind) for kind in config.kinds}
    for training in trainings.values():
        polytropon.check(training)
    adaptations = {kind: _adaptation(config, kind, run.out / kind) for kind in config.kinds}
    for kind, adaptation in adaptations.items():
        check_methods(adaptation.adapt.methods, kind, config.backbone_dtype)
    read_all(suite, tests, seeds=config.adapt.seeds or None)
    train_tasks = partition_tasks(suite, "train")
    print_note(run.console, repeats(suite, [*train_tasks, *tests]))
    print_note(run.console, unlearned(suite, train_tasks, config.tasks.train_splits, train_tasks))
    trained = _train(trainings, run)
    plans = {kind: adapt.plan_of(adaptation, run.out / kind) for kind, adaptation in adaptations.items()}
    adapt.run_groups([group for plan in plans.values() for group in plan.groups], run)
    metrics = _gather({kind: plan.pieces for kind, plan in plans.items()}, trained)
    show(metrics, run.console)
    return Result(metrics=metrics, skills=tuple(f"{kind}/{SKILLS}" for kind in config.kinds))


def _training(config: Config, kind: str) -> polytropon.Config:
    different = {name: x for name, x in config.each.get(kind, {}).items() if not name.startswith("adapt.")}
    values = config.model_dump(mode="json", include=set(polytropon.Config.model_fields))
    values["routing"] = _options_that_it_has(kind, values["routing"])
    return load_config(polytropon.Config, trial={**dotted(values, levels=1), **different})


def _options_that_it_has(kind: str, routing: Mapping[str, Any]) -> dict[str, Any]:
    fields = RoutingOptions.options_of(kind).model_fields
    return {"kind": kind, **{name: value for name, value in routing.items() if name in fields}}


def _adaptation(config: Config, kind: str, out: Path) -> AdaptationRecipe:
    different = {name: x for name, x in config.each.get(kind, {}).items() if name.startswith("adapt.")}
    shared = dict.fromkeys(AdaptationRecipe.model_fields, True) | {"evaluation": set(EvaluationOptions.model_fields)}
    values = config.model_dump(mode="json", include=shared)
    return load_config(AdaptationRecipe, trial={**dotted(values, levels=1), "skills": str(out / SKILLS), **different})


def _train(trainings: Mapping[str, polytropon.Config], run: Run) -> dict[str, Any]:
    """Train what is not trained yet, each router in a run folder of its own: their metrics.

    Raises:
        Interrupted: the user asked the run to stop.
        RunError: a training failed.
    """
    folders = {
        kind: RunFolder(path=run.out / kind, job="polytropon", config=config, address=None)
        for kind, config in trainings.items()
    }
    started = time.monotonic()
    with ExitStack() as locks:
        for folder in folders.values():
            locks.enter_context(folder.locked())
        waiting = {
            kind: config for kind, config in trainings.items() if not folders[kind].is_done or folders[kind].damage()
        }
        if waiting:
            run.cluster.start()
        running = {kind: polytropon.start(config, run.within(kind)) for kind, config in waiting.items()}
        steps = {f"training {kind}": (run.out / kind, config.training.steps) for kind, config in waiting.items()}
        follow(steps, lambda: any(training.running for training in running.values()), run.console)
        for kind, training in running.items():
            result = Result(metrics=training.result(), skills=(SKILLS,))
            folders[kind].write_result("done", time.monotonic() - started, result)
            write_report(run.out / kind)
    return {kind: final_metrics(run.out / kind) for kind in trainings}


def _gather(pieces: Mapping[str, Sequence[Piece]], trained: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {kind: adapt.gather(of_kind) for kind, of_kind in pieces.items()}
    best = "polytropon" if "polytropon" in kinds else list(kinds)[-1]
    return {"mean": kinds[best]["mean"], "tasks": kinds[best]["tasks"], "kinds": kinds, "trained": trained}


def show(metrics: Mapping[str, Any], console: Console) -> None:
    """The paper's Table 1 on the console: unseen tasks x routers, mean and deviation over few-shot splits."""
    kinds = {kind: metrics["kinds"][kind] for kind in in_order(metrics["kinds"])}
    rows = [
        [f"{task} ({next(iter(values))})", *[few_shot_cell(kind["tasks"][task]) for kind in kinds.values()]]
        for task, values in metrics["tasks"].items()
    ]
    last = ["mean", *[f"{100 * kind['mean']:.1f}" for kind in kinds.values()]]
    title = "Few-shot adaptation to unseen tasks, mean ± standard deviation over splits"
    print_table(console, title, ["task", *map(router_label, kinds)], rows, last)
    recovery = metrics["trained"].get("polytropon", {}).get("recovery")
    if recovery:
        console.print(
            f"Planted hierarchy recovered: AMI {recovery['ami']:.2f}, "
            f"task-skill assignment accuracy {recovery['assignment_accuracy']:.2f}"
        )


JOB = Job(
    about="train several routers, adapt each, and compare them", Config=Config, run=run,
    goals=("mean", "tasks", "kinds", "trained"),
)  # fmt: skip
