"""Few-shot adaptation of a trained inventory to unseen tasks."""

import json
import os
import statistics
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from rich.table import Table
from torch import Tensor

from polyray.cluster.progress import bars
from polyray.cluster.session import ray_session
from polyray.cluster.tasks import run_tasks
from polyray.config import Section
from polyray.errors import InputError
from polyray.modules.site import without_skills
from polyray.routing import Fixed
from polyray.tasks import Suite
from polyray.training.adaptation import FewShot, FewShotData, adapt
from polyray.training.evaluation import answers
from polyray.training.inventory_folder import Origin, load_inventory, save_mixed
from polyray.training.model import Modular
from polyray.training.optimizers import Speeds

from .data import SuiteConfig, category_allocation, encoded, held, of_examples, part, suite_of
from .job import Context, Result
from .report import write_adaptation
from .sections import EvaluationSection, TextSection


class AdaptSection(Section):
    """How one adaptation is trained and chosen."""

    methods: tuple[Literal["skills", "row", "average", "fresh", "full"], ...] = ("skills",)
    """What is trained: skills and a new row, the row only, the averaged skills, fresh skills, the full model."""
    part: Literal["test", "dev"] = "test"
    """Which tasks of the partition."""
    seeds: tuple[int, ...] = ()
    """Few-shot splits; empty: all of each task."""
    steps: int = Field(1000, ge=1)
    """Updates."""
    batch: int = Field(8, ge=1)
    """Examples of an update."""
    lr: tuple[float, ...] = (1e-3,)
    """Learning rates of the skills; the development set chooses among them."""
    routing_lr: float = Field(1e-1, gt=0)
    """Learning rate of the new row."""
    weight_decay: float = Field(0.01, ge=0)
    """Of the skills."""
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the steps over which learning rates rise."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    beta2: float = Field(0.999, gt=0, lt=1)
    """Adam's memory of squared gradients; runs of some hundred steps want 0.99."""
    looks: int = Field(10, ge=1)
    """How often the development set is looked at; the best look is kept."""
    seed: int = 0
    """Of everything that is drawn."""

    def few_shot(self) -> FewShot:
        """As the library takes it."""
        speeds = Speeds(
            lr=self.lr[0], routing_lr=self.routing_lr, weight_decay=self.weight_decay, warmup=self.warmup,
            clip=self.clip, beta2=self.beta2,
        )  # fmt: skip
        return FewShot(
            steps=self.steps, batch=self.batch, speeds=speeds, rates=self.lr, looks=self.looks, seed=self.seed
        )


class Config(SuiteConfig):
    """Adapt the skills of a run to the tasks that it has not seen."""

    skills: str = ""
    """Folder that `polyray run polytropon` wrote: RUN/skills."""
    text: TextSection = TextSection()
    """Lengths of texts."""
    adapt: AdaptSection = AdaptSection()
    """How one adaptation is trained and chosen."""
    evaluation: EvaluationSection = EvaluationSection()
    """How development and test examples are scored."""


def run(config: Config, context: Context) -> Result:
    """Adapt every task, split and method as a Ray task of its own; see `Config`."""
    pieces = pieces_of(config, context.out)
    with ray_session(context.address, context.out / "logs" / "ray"):
        work_off(pieces, context)
    metrics = gather(pieces)
    write_adaptation(context.out, metrics)
    show(metrics, context, title=f"Few-shot adaptation, {Path(config.skills).parent.name}")
    return Result(metrics=metrics, skills=("skills",))


def pieces_of(config: Config, out: Path) -> list[dict[str, Any]]:
    """One piece of work for every task, split and method, as plain data.

    Raises:
        InputError: the inventory or the data are missing or wrong.
    """
    if not config.skills:
        raise InputError("adapt needs skills=FOLDER, the skills folder of a finished polytropon run.")
    folder = load_inventory(Path(config.skills))
    suite = suite_of(config)
    seen = set(folder.tasks) & set(part(suite, config.adapt.part))
    if seen:
        raise InputError(f"{min(seen)!r} was a training task of {config.skills}: adapt to tasks it has not seen.")
    names = part(suite, config.adapt.part)
    return [
        {"config": config.model_dump(mode="json"), "out": str(out), "task": name, "seed": seed, "method": method}
        for name in names
        for seed in (config.adapt.seeds or suite.tasks[name].seeds)
        for method in config.adapt.methods
        if suite.tasks[name].examples("test", seed)
    ]


def result_file(piece: Mapping[str, Any]) -> Path:
    """Where the outcome of a piece is kept."""
    return Path(piece["out"]) / "adapted" / f"{piece['task']}-{piece['seed']}-{piece['method']}.json"


def work_off(pieces: list[dict[str, Any]], context: Context) -> None:
    """Do the pieces that have no outcome yet, in parallel, with a progress bar."""
    waiting = [piece for piece in pieces if not result_file(piece).exists()]
    with bars(context.console) as display:
        line = display.add_task("adapting", total=len(pieces), completed=len(pieces) - len(waiting), told="")
        for _, outcome in run_tasks(adapt_one, waiting):
            display.update(line, advance=1, told=f"{outcome['task']}: {outcome['score']:.3f}")


def adapt_one(piece: Mapping[str, Any]) -> dict[str, Any]:
    """One task, one split, one method; the outcome is written when it is whole, and returned."""
    config = Config.model_validate(piece["config"])
    suite, model = _loaded(config.model_dump_json(include={"suite", "tasks", "skills"}))
    task, seed = suite.tasks[piece["task"]], piece["seed"]
    lengths, decoding = config.text.lengths(), config.evaluation.decoding()
    with without_skills(model.inventory):
        train, dev, tests = (
            encoded(model.backbone, suite, examples, lengths)
            for examples in (
                task.examples("train", seed), task.examples("dev", seed),
                held(task, "test", seed, config.evaluation.max_examples),
            )
        )  # fmt: skip
    data = FewShotData(task=task, train=train.rows, dev=dev.rows, dev_examples=dev.examples)
    few, row = config.adapt.few_shot(), row_of(suite, model, task.name)
    adapted = adapt(model, piece["method"], data, few, decoding, row)
    predictions = answers(adapted.model, tests.rows, decoding, lengths.max_output)
    outcome = {
        "task": task.name, "seed": seed, "method": piece["method"], "metric": task.metric,
        "score": task.score(predictions, tests.examples), "dev": adapted.dev, "lr": adapted.rate, "step": adapted.step,
    }  # fmt: skip
    prints = {task.name: of_examples(task.examples("train", seed))}
    origin = Origin.of(model.backbone, suite.name, [task.name], prints, few.seed)
    save_mixed(Path(piece["out"]) / "skills", adapted.model, origin, f"{task.name}-{seed}-{piece['method']}", outcome)
    file = result_file(piece)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(outcome | {"predictions": predictions}, ensure_ascii=False), encoding="utf-8")
    os.replace(temporary, file)
    return outcome


@lru_cache(maxsize=1)  # a worker process does many pieces of one run
def _loaded(key: str) -> tuple[Suite, Modular]:
    config = Config.model_validate_json(key)
    folder = load_inventory(Path(config.skills))
    return suite_of(config), folder.build()


def row_of(suite: Suite, model: Modular, task: str) -> Tensor:
    """[skills], an unseen task's row where the router is fixed: the skills of its category, or all that there are."""
    router = model.router
    if not isinstance(router, Fixed):
        return torch.ones(model.inventory.n_skills)
    row = torch.zeros(router.n_skills)
    own = category_allocation(suite)
    same = [router.tasks.rows([name])[0] for name in router.tasks.names if own.get(name) == own[task]]
    row[:] = router.table[same].amax(0) if same else 1
    return row


def gather(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over the few-shot splits, per method and task, and over tasks."""
    outcomes = [json.loads(result_file(piece).read_text(encoding="utf-8")) for piece in pieces]
    methods = {}
    for method in dict.fromkeys(outcome["method"] for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome["method"] == method]
        tasks = {}
        for name in dict.fromkeys(outcome["task"] for outcome in own):
            scores = [outcome["score"] for outcome in own if outcome["task"] == name]
            metric = next(outcome["metric"] for outcome in own if outcome["task"] == name)
            tasks[name] = {metric: statistics.fmean(scores), "std": statistics.pstdev(scores), "scores": scores}
        means = [statistics.fmean(values["scores"]) for values in tasks.values()]
        methods[method] = {"mean": statistics.fmean(means), "tasks": tasks}
    first = next(iter(methods.values()))
    return {"mean": first["mean"], "tasks": first["tasks"], "methods": methods}


def show(metrics: Mapping[str, Any], context: Context, title: str) -> None:
    """The table of tasks x methods on the console."""
    table = Table(title=title)
    table.add_column("task")
    for method in metrics["methods"]:
        table.add_column(method, justify="right")
    for task in metrics["tasks"]:
        cells = []
        for method in metrics["methods"].values():
            own = method["tasks"][task]
            cells.append(f"{100 * statistics.fmean(own['scores']):.1f} ± {100 * own['std']:.1f}")
        table.add_row(task, *cells)
    table.add_section()
    table.add_row("mean", *[f"{100 * method['mean']:.1f}" for method in metrics["methods"].values()])
    context.console.print(table)
