"""The paper's comparison in one run: routers trained on the same tasks, adapted to the same unseen ones."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.table import Table

from polyray.cluster.session import ray_session
from polyray.config import load_config
from polyray.jobs import adapt, polytropon
from polyray.jobs.configs import AdaptConfig, AdaptSection, PolytroponConfig
from polyray.jobs.sections import ModulesSection, RoutingSection, TrainingSection
from polyray.progress import follow
from polyray.reports.sections.language import NAMES, ordered, write_comparison
from polyray.runs.job import Context, Result
from polyray.runs.journal import RESULT, SKILLS
from polyray.training.data import part, suite_of


class Config(PolytroponConfig):
    """Train several routers on a suite's training tasks and adapt each to its test tasks.

    The defaults suit the planted suite, where a tiny backbone learns from nothing together with its skills.
    """

    modules: ModulesSection = ModulesSection(rank=4, sites=("ffn",))
    """What a skill is made of."""
    routing: RoutingSection = RoutingSection(n_skills=5)
    """How tasks share skills; `routing.kind` is not read."""
    training: TrainingSection = TrainingSection(
        steps=400, lr=2e-2, routing_lr=2e-1, backbone_lr=3e-3, beta2=0.99, report_every=20, save_every=200
    )
    """How long and how fast."""
    kinds: tuple[str, ...] = ("shared", "private", "polytropon")
    """Routers to compare: see `polyray list routers`."""
    each: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Fields that differ for one router, by dotted name: {private: {training.lr: 0.003}}."""
    adapt: AdaptSection = AdaptSection(steps=50, lr=(3e-3, 1e-2), routing_lr=1.0, beta2=0.99, looks=5)
    """How each is adapted to the test tasks."""


def run(config: Config, context: Context) -> Result:
    """Train all routers side by side on Ray, adapt them, and compare; see `Config`."""
    part(suite_of(config), "test")
    trainings = {kind: _training(config, kind) for kind in config.kinds}
    for training in trainings.values():
        polytropon.check(training)
    with ray_session(context.address, context.out / "logs" / "ray"):
        _train(trainings, context)
        pieces = {
            kind: adapt.pieces_of(_adaptation(config, kind, context.out / kind), context.out / kind)
            for kind in config.kinds
        }
        adapt.work_off([piece for own in pieces.values() for piece in own], context)
    metrics = _gather(config, pieces, context.out)
    show(metrics, context)
    write_comparison(context.out, metrics, {kind: context.out / kind for kind in config.kinds})
    return Result(metrics=metrics, skills=tuple(f"{kind}/skills" for kind in config.kinds))


def _training(config: Config, kind: str) -> PolytroponConfig:
    own = {name: value for name, value in config.each.get(kind, {}).items() if not name.startswith("adapt.")}
    values = config.model_dump(mode="json", include=set(PolytroponConfig.model_fields))
    values["routing"]["kind"] = kind
    return load_config(PolytroponConfig, trial={**flat(values), **own})


def _adaptation(config: Config, kind: str, out: Path) -> AdaptConfig:
    own = {name: value for name, value in config.each.get(kind, {}).items() if name.startswith("adapt.")}
    values = config.model_dump(mode="json", include=set(AdaptConfig.model_fields))
    return load_config(AdaptConfig, trial={**flat(values), "skills": str(out / SKILLS), **own})


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a config one level down, under dotted names, so that single fields can be set over them."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and name in SECTIONS:
            found |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            found[name] = value
    return found


SECTIONS = {"tasks", "text", "modules", "routing", "training", "evaluation", "workers", "adapt"}


def _train(trainings: Mapping[str, PolytroponConfig], context: Context) -> None:
    left = {kind: config for kind, config in trainings.items() if not (context.out / kind / RESULT).exists()}
    for kind in left:
        (context.out / kind).mkdir(exist_ok=True)
    runs = {kind: polytropon.start(config, context.out / kind) for kind, config in left.items()}
    steps = {f"training {kind}": (context.out / kind, config.training.steps) for kind, config in left.items()}
    follow(steps, lambda: any(run.running for run in runs.values()), context.console)
    for training in runs.values():
        training.result()


def _gather(config: Config, pieces: Mapping[str, list[dict[str, Any]]], out: Path) -> dict[str, Any]:
    kinds = {kind: adapt.gather(own) for kind, own in pieces.items()}
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
            own = kinds[kind]["tasks"][task]
            cells.append(f"{100 * sum(own['scores']) / len(own['scores']):.1f} ± {100 * own['std']:.1f}")
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
