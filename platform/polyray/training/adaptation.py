"""Few-shot adaptation of a trained inventory to a task that it has never seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from polyray.backbones.backbone import device_of
from polyray.errors import InputError
from polyray.lookup import all_known
from polyray.modules.attach import Inventory
from polyray.objectives import Batch, EvaluationOptions, heads_for
from polyray.routing import ROUTERS, FixedRouter, Router, module_of
from polyray.tasks import Task
from polyray.training.data import Encoded
from polyray.training.evaluation import predictions
from polyray.training.loop import Training, fit
from polyray.training.model import Modular
from polyray.training.optimizers import OptimizerOptions, optimizer
from polyray.training.sampler import Sampler

Method = Literal["skills", "row", "average", "fresh", "full"]
METHODS: dict[str, str] = {
    "skills": "new row and skills are trained (Ponti et al. 2023, section 4.2)",
    "row": "only the new row is trained (MHR-z)",
    "average": "the skills are averaged, then that one module is trained (MHR-mu)",
    "fresh": "the same architecture with newly drawn skills (PolyRand)",
    "full": "the whole backbone is trained, without skills",
}


class AdaptationOptions(OptimizerOptions):
    """Length and speed of one few-shot adaptation, and the choice of its result on the development set."""

    methods: tuple[Method, ...] = ("skills",)
    """What is trained: skills and a new row, the row only, the averaged skills, fresh skills, the full model."""
    part: Literal["test", "dev"] = "test"
    """Which tasks of the partition."""
    seeds: tuple[int, ...] = ()
    """Few-shot splits; empty: all of each task."""
    steps: int = Field(1000, ge=1)
    """Updates."""
    batch: int = Field(8, ge=1)
    """Examples of an update."""
    rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Learning rates of the skills to try; the development set chooses among them; empty: `lr`."""
    looks: int = Field(10, ge=1)
    """How often the development set is looked at; the best look is kept."""
    seed: int = 0
    """Seed of everything that is drawn."""
    gpus: float = Field(0, ge=0)
    """GPUs of one adaptation; a fraction shares one."""

    @field_validator("methods")
    @classmethod
    def _methods_there_are(cls, methods: tuple[Method, ...]) -> tuple[Method, ...]:
        all_known(methods, METHODS, "method")
        return methods

    @field_validator("seeds", "rates")
    @classmethod
    def _different(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) < len(values):
            raise ValueError("expected different numbers, each is used once")
        return values


def check_methods(methods: Sequence[Method], router: str) -> None:
    """Refuse methods that an inventory with this kind of router cannot be adapted by.

    Raises:
        InputError: `row` is among them, and the router has no rows to train.
    """
    if "row" in methods and not ROUTERS[router].trains_rows:
        raise InputError(
            f"adapt.methods: row trains a row of the allocation, and that of routing.kind={router} is fixed."
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class FewShotData:
    """One task's few-shot split as rows of its objective."""

    task: Task
    train: Encoded
    dev: Encoded


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """The result of an adaptation; the model is left in the chosen state."""

    model: Modular
    dev: float  # score on the development set
    rate: float  # of the skills, as chosen
    step: int  # at which the chosen state was reached


class TaskBatches:
    """Batches of one task's rows."""

    def __init__(self, model: Modular, data: Encoded, batch: int, seed: int) -> None:
        self._model, self._data = model, data
        self._sampler = Sampler([len(data.rows)], batch, 1.0, seed)

    def draw(self) -> Batch:
        """The next batch, on the model's device."""
        rows = [self._data.rows[row] for _, row in self._sampler.draw()]
        batch: Batch = self._data.objective.collate(self._model.backbone, rows, self._sampler.noise())
        return batch.to(device_of(self._model.network))


def adapt(
    model: Modular,
    method: Method,
    data: FewShotData,
    options: AdaptationOptions,
    decoding: EvaluationOptions,
    relatives: Sequence[str] = (),
) -> Adapted:
    """Train a copy of the inventory of `model` on the few examples of an unseen task.

    The model itself keeps its tensors: the adapted copy takes its place on the backbone until the next call.
    `relatives` are known tasks of the new task's category; `options.seed` fixes all that is drawn.

    Raises:
        InputError: the method asks for rows to train and the router has none.
    """
    before = {name: value.clone() for name, value in model.network.state_dict().items()} if method == "full" else {}
    best: tuple[float, float, int, dict[str, Tensor]] | None = None
    copy = model
    for rate in options.rates or (options.lr,):
        if before:
            model.network.load_state_dict(before)
        generator = torch.Generator().manual_seed(options.seed)
        with torch.random.fork_rng():  # dropout draws from torch's own generators
            torch.manual_seed(options.seed)
            copy = start(model, method, data.task, relatives, generator)
            looks = _looks(copy, method, data, options, decoding, rate, generator)
        for dev, step, state in looks:
            if best is None or dev > best[0]:
                best = (dev, rate, step, state)
    assert best is not None  # there is at least one step, and the score of a first look counts as a rise
    copy.load_state_dict(best[3], strict=False)
    return Adapted(model=copy.eval(), dev=best[0], rate=best[1], step=best[2])


def _looks(
    copy: Modular, method: Method, data: FewShotData, options: AdaptationOptions, decoding: EvaluationOptions,
    rate: float, generator: torch.Generator,
) -> list[tuple[float, int, dict[str, Tensor]]]:  # fmt: skip
    """(development score, step, trained tensors) wherever the score rose."""
    if method in ("row", "full"):
        copy.inventory.requires_grad_(False)
    if method == "full":
        module_of(copy.router).requires_grad_(False)
    options = options.model_copy(update={"lr": rate})
    adam = optimizer(copy, options, backbone_lr=rate if method == "full" else 0.0)
    batches = TaskBatches(copy, data.train, options.batch, options.seed)
    training = Training(model=copy, forward=copy, adam=adam, batches=batches, noise=generator)
    rises: list[tuple[float, int, dict[str, Tensor]]] = []
    for report in fit(training, options, options.steps, every=max(1, options.steps // options.looks)):
        predicted = predictions(copy, data.dev, decoding, max(row.n_written for row in data.dev.rows))
        dev = data.task.score(predicted, data.dev.examples)[data.task.metric]
        if not rises or dev > rises[-1][0]:
            state = {name: p.detach().clone() for name, p in copy.named_parameters() if p.requires_grad}
            rises.append((dev, report.step, state))
    return rises


def start(model: Modular, method: Method, task: Task, relatives: Sequence[str], generator: torch.Generator) -> Modular:
    """A copy of the inventory, a router and a head for `task` alone, all as `method` wants them, on the backbone.

    Raises:
        InputError: the method trains a row, and the router has none to train.
    """
    old, router = model.inventory, model.router
    if method == "row" and not router.trains_rows:
        raise InputError("adapt.method=row trains a row of the allocation, and this inventory's is fixed.")
    single: Router = FixedRouter([task.name], torch.ones(1, 1))
    if method == "full" or (router.starts_afresh and method in ("skills", "fresh")):
        inventory, new = old.fresh(1, generator), single
    elif method == "average":
        inventory, new = old.fresh(1, generator), single
        inventory.load_skill(0, average(old))
    else:
        inventory = old.fresh(old.n_skills, generator)
        if method != "fresh":
            inventory.load_state_dict(old.state_dict())
        new = router.for_task(task.name, relatives, generator, keep=method != "fresh")
    heads = heads_for(model.backbone, [task], generator)
    for key in heads.keys() & set(model.heads) if method not in ("fresh", "full") else ():
        heads[key].load_state_dict(model.heads[key].state_dict())  # of a training task with the same labels
        heads[key].requires_grad_(method != "row")
    inventory.install(model.network)
    return Modular(model.backbone, inventory, new, heads).to(device_of(model.network))


def average(inventory: Inventory) -> Mapping[str, Tensor]:
    """The mean of all skills, tensor by tensor; the supports of sparse modules must agree.

    Raises:
        InputError: skills of a sparse inventory change different entries.
    """
    skills = [inventory.skill(index) for index in range(inventory.n_skills)]
    mean = {}
    for name, first in skills[0].items():
        if not first.is_floating_point():
            if any(not torch.equal(first, skill[name]) for skill in skills):
                raise InputError("adapt.method=average needs skills with one support; these are sparse and differ.")
            mean[name] = first
        else:
            mean[name] = torch.stack([skill[name] for skill in skills]).mean(0)
    return mean
