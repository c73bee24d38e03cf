"""The paper's comparison in one run: routers trained on the same tasks, adapted to the same unseen ones."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.table import Table

from polyray.cluster.session import ray_session
from polyray.config import load_config
from polyray.jobs import adapt, polytropon
from polyray.modules.lora import LoraOptions
from polyray.modules.options import SkillOptions
from polyray.progress import follow
from polyray.reports.sections.language import NAMES, ordered, write_comparison
from polyray.routing import RoutingOptions
from polyray.routing.options import LearnedOptions
from polyray.runs.job import Context, Result
from polyray.tasks import load_suite
from polyray.training.adaptation import AdaptationOptions
from polyray.training.data import partition_tasks
from polyray.training.fewshot import AdaptationRecipe, Piece
from polyray.training.journal import RESULT, SKILLS
from polyray.training.recipe import TrainingOptions


class Config(polytropon.Config):
    """Train several routers on a suite's training tasks and adapt each to its test tasks.

    The defaults suit the planted suite, where a tiny backbone learns from nothing together with its skills.
    """

    modules: SkillOptions = SkillOptions(options=LoraOptions(rank=4), sites=("ffn",))
    """What a skill is made of."""
    routing: RoutingOptions = RoutingOptions(options=LearnedOptions(n_skills=5))
    """How tasks share skills: each router takes the options that it has; `routing.kind` is not read."""
    training: TrainingOptions = TrainingOptions(
        steps=400, lr=2e-2, routing_lr=2e-1, backbone_lr=3e-3, beta2=0.99, report_every=20, save_every=200
    )
    """How long and how fast."""
    kinds: tuple[str, ...] = ("shared", "private", "polytropon")
    """Routers to compare: see `polyray list routers`."""
    each: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Fields that differ for one router, by dotted name: {private: {training.lr: 0.003}}."""
    adapt: AdaptationOptions = AdaptationOptions(
        steps=50, rates=(3e-3, 1e-2), routing_lr=1.0, beta2=0.99, looks=5, warmup=0.1
    )
    """How each is adapted to the test tasks."""

    def unread(self) -> Mapping[str, str]:
        """`routing.kind`, because `kinds` names the routers."""
        return {"routing.kind": "kinds names the routers that are compared"}


def run(config: Config, context: Context) -> Result:
    """Train all routers side by side on Ray, adapt them, and compare; see `Config`."""
    partition_tasks(load_suite(config.tasks), "test")
    trainings = {kind: _training(config, kind) for kind in config.kinds}
    for training in trainings.values():
        polytropon.check(training)
    with ray_session(context.address, context.out / "logs" / "ray"):
        _train(trainings, context)
        pieces = {
            kind: adapt.pieces_of(_adaptation(config, kind, context.out / kind), context.out / kind)
            for kind in config.kinds
        }
        adapt.run_pieces([piece for of_kind in pieces.values() for piece in of_kind], context)
    metrics = _gather(config, pieces, context.out)
    show(metrics, context)
    write_comparison(context.out, metrics, {kind: context.out / kind for kind in config.kinds})
    return Result(metrics=metrics, skills=tuple(f"{kind}/skills" for kind in config.kinds))


def _training(config: Config, kind: str) -> polytropon.Config:
    different = {name: x for name, x in config.each.get(kind, {}).items() if not name.startswith("adapt.")}
    values = config.model_dump(mode="json", include=set(polytropon.Config.model_fields))
    values["routing"] = _options_that_it_has(kind, values["routing"])
    return load_config(polytropon.Config, trial={**flat(values), **different})


def _options_that_it_has(kind: str, routing: Mapping[str, Any]) -> dict[str, Any]:
    fields = RoutingOptions.options_of(kind).model_fields
    return {"kind": kind, **{name: value for name, value in routing.items() if name in fields}}


def _adaptation(config: Config, kind: str, out: Path) -> AdaptationRecipe:
    different = {name: x for name, x in config.each.get(kind, {}).items() if name.startswith("adapt.")}
    values = config.model_dump(mode="json", include=set(AdaptationRecipe.model_fields))
    return load_config(AdaptationRecipe, trial={**flat(values), "skills": str(out / SKILLS), **different})


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a config one level down, under dotted names, so that single fields can be set over them."""
    flattened: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flattened |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flattened[name] = value
    return flattened


def _train(trainings: Mapping[str, polytropon.Config], context: Context) -> None:
    left = {kind: config for kind, config in trainings.items() if not (context.out / kind / RESULT).exists()}
    for kind in left:
        (context.out / kind).mkdir(exist_ok=True)
    runs = {kind: polytropon.start(config, context.out / kind) for kind, config in left.items()}
    steps = {f"training {kind}": (context.out / kind, config.training.steps) for kind, config in left.items()}
    follow(steps, lambda: any(run.running for run in runs.values()), context.console)
    for training in runs.values():
        training.result()


def _gather(config: Config, pieces: Mapping[str, Sequence[Piece]], out: Path) -> dict[str, Any]:
    kinds = {kind: adapt.gather(of_kind) for kind, of_kind in pieces.items()}
    trained = {kind: json.loads((out / kind / RESULT).read_text(encoding="utf-8")) for kind in config.kinds}
    best = "polytropon" if "polytropon" in kinds else config.kinds[-1]
    return {"mean": kinds[best]["mean"], "tasks": kinds[best]["tasks"], "kinds": kinds, "trained": trained}


def show(metrics: Mapping[str, Any], context: Context) -> None:
    """The paper's Table 1 on the console: unseen tasks x routers, mean and deviation over few-shot splits."""
    kinds = metrics["kinds"]
    table = Table(title="Few-shot adaptation to unseen tasks, mean ± standard deviation over splits")
    table.add_column("task")
    for kind in ordered(kinds):
        table.add_column(NAMES.get(kind, kind), justify="right")
    for task, values in metrics["tasks"].items():
        cells = []
        for kind in ordered(kinds):
            scores = kinds[kind]["tasks"][task]
            cells.append(f"{100 * sum(scores['scores']) / len(scores['scores']):.1f} ± {100 * scores['std']:.1f}")
        table.add_row(f"{task} ({next(iter(values))})", *cells)
    table.add_section()
    table.add_row("mean", *[f"{100 * kinds[kind]['mean']:.1f}" for kind in ordered(kinds)])
    context.console.print(table)
    recovery = metrics["trained"].get("polytropon", {}).get("recovery")
    if recovery:
        context.console.print(
            f"Planted hierarchy recovered: AMI {recovery['ami']:.2f}, "
            f"task-skill assignment accuracy {recovery['assignment_accuracy']:.2f}"
        )
