"""Few-shot adaptation of a trained inventory to a task that it has never seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from polyray.backbones.backbone import device_of
from polyray.errors import InputError
from polyray.modules.attach import Inventory
from polyray.modules.layout import Layout
from polyray.objectives.batches import Batch, Row, Sampler, collate
from polyray.routing import FixedRouter, HyperFormer, LearnedRouter, Router, TokenMoE
from polyray.tasks.task import Example, Task
from polyray.training.evaluation import Decoding, answers
from polyray.training.loop import Training, fit
from polyray.training.model import Modular
from polyray.training.optimizers import OptimizerOptions, optimizer

Method = Literal["skills", "row", "average", "fresh", "full"]
METHODS: dict[str, str] = {
    "skills": "new row and skills are trained (Ponti et al. 2023, section 4.2)",
    "row": "only the new row is trained (MHR-z)",
    "average": "the skills are averaged, then that one module is trained (MHR-mu)",
    "fresh": "the same architecture with newly drawn skills (PolyRand)",
    "full": "the whole backbone is trained, without skills",
}


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """How one adaptation is trained and chosen."""

    steps: int = 1000
    batch: int = 8
    speeds: OptimizerOptions = OptimizerOptions(warmup=0.1)
    rates: tuple[float, ...] = ()  # rates of the skills to try; the development set chooses; empty: speeds.lr
    looks: int = 10  # how often the development set is looked at
    seed: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class FewShotData:
    """One task's few-shot split, as text and as tokens."""

    task: Task
    train: Sequence[Row]
    dev: Sequence[Row]
    dev_examples: Sequence[Example]


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What came of an adaptation; the model is left in the chosen state."""

    model: Modular
    dev: float  # score on the development set
    rate: float  # of the skills, as chosen
    step: int  # at which the chosen state was reached


class TaskBatches:
    """Batches of one task's rows."""

    def __init__(self, model: Modular, rows: Sequence[Row], batch: int, seed: int) -> None:
        self._model, self._rows = model, rows
        self._sampler = Sampler([len(rows)], batch, 1.0, seed)

    def draw(self) -> Batch:
        """The next batch, on the model's device."""
        rows = [self._rows[place] for _, place in self._sampler.draw()]
        return collate(self._model.backbone, rows).to(device_of(self._model.network))


def adapt(model: Modular, method: Method, data: FewShotData, few: FewShot, decoding: Decoding, row: Tensor) -> Adapted:
    """Train a copy of the inventory of `model` on the few examples of an unseen task.

    The model itself keeps its tensors: the adapted copy takes its place on the backbone until the next call. `row`
    [skills] is the new task's row where the router is fixed (expert). `few.seed` fixes all that is drawn.

    Raises:
        InputError: the method asks for rows to train and the router has none.
    """
    before = {name: value.clone() for name, value in model.network.state_dict().items()} if method == "full" else {}
    best: tuple[float, float, int, dict[str, Tensor]] | None = None
    copy = model
    for rate in few.rates or (few.speeds.lr,):
        if before:
            model.network.load_state_dict(before)
        generator = torch.Generator().manual_seed(few.seed)
        with torch.random.fork_rng():  # dropout draws from torch's own generators
            torch.manual_seed(few.seed)
            copy = start(model, method, data.task.name, row, generator)
            looks = _looks(copy, method, data, few, decoding, rate, generator)
        for dev, step, state in looks:
            if best is None or dev > best[0]:
                best = (dev, rate, step, state)
    if best is None:
        raise InputError(f"Adaptation needs at least one step, found {few.steps}.")
    copy.load_state_dict(best[3], strict=False)
    return Adapted(model=copy.eval(), dev=best[0], rate=best[1], step=best[2])


def _looks(
    copy: Modular, method: Method, data: FewShotData, few: FewShot, decoding: Decoding, rate: float,
    generator: torch.Generator,
) -> list[tuple[float, int, dict[str, Tensor]]]:  # fmt: skip
    """(development score, step, trained tensors) wherever the score rose."""
    speeds = replace(few.speeds, lr=rate, backbone_lr=rate if method == "full" else 0.0)
    if method in ("row", "full"):
        copy.inventory.requires_grad_(False)
    if method == "full":
        copy.router.requires_grad_(False)
    adam = optimizer(copy, speeds)
    batches = TaskBatches(copy, data.train, few.batch, few.seed)
    training = Training(model=copy, forward=copy, adam=adam, batches=batches, noise=generator)
    found: list[tuple[float, int, dict[str, Tensor]]] = []
    for report in fit(training, speeds, few.steps, every=max(1, few.steps // few.looks)):
        predictions = answers(copy, data.dev, decoding, max(len(row.output) for row in data.dev))
        dev = data.task.score(predictions, data.dev_examples)
        if not found or dev > found[-1][0]:
            state = {name: p.detach().clone() for name, p in copy.named_parameters() if p.requires_grad}
            found.append((dev, report.step, state))
    return found


def start(model: Modular, method: Method, task: str, row: Tensor, generator: torch.Generator) -> Modular:
    """A copy of the inventory and a router that knows only `task`, both as `method` wants them, on the backbone."""
    old, router = model.inventory, model.router
    if method == "row" and isinstance(router, FixedRouter):
        raise InputError("adapt.method=row trains a row of the allocation, and this inventory's is fixed.")
    if method == "full" or (isinstance(router, FixedRouter) and router.is_private and method in ("skills", "fresh")):
        inventory, new = old.fresh(1, generator), _single(task)
    elif method == "average":
        inventory, new = old.fresh(1, generator), _single(task)
        inventory.load_skill(0, average(old))
    else:
        inventory = old.fresh(old.n_skills, generator)
        if method != "fresh":
            inventory.load_state_dict(old.state_dict())
        new = router_for(router, old, task, row, generator, keep=method != "fresh")
    device = device_of(model.network)
    inventory.to(device).install(model.network)
    return Modular(model.backbone, inventory, new.to(device), model.prior)


def average(inventory: Inventory) -> Mapping[str, Tensor]:
    """The mean of all skills, tensor by tensor; a sparse module's support must agree.

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


def _single(task: str) -> Router:
    return FixedRouter([task], torch.ones(1, 1))


def router_for(
    router: Router, inventory: Inventory, task: str, row: Tensor, generator: torch.Generator, keep: bool
) -> Router:
    """A router of the same kind that knows only `task`; `keep` its task-independent parameters."""
    layout = Layout(sites=inventory.sites, widths=inventory.widths, n_heads=inventory.n_heads)
    if isinstance(router, FixedRouter):
        return FixedRouter([task], row[None])
    if isinstance(router, LearnedRouter):
        return LearnedRouter(router.weigh, [task], layout, router.options, generator)
    if isinstance(router, TokenMoE):
        moe = TokenMoE([task], layout, router.options, generator)
        if keep:
            moe.load_state_dict(router.state_dict())
        return moe
    hyper = HyperFormer([task], layout, router.options, generator)
    if keep:
        with torch.no_grad():
            hyper.weight.copy_(router.weight)
            hyper.embedding.copy_(router.embedding.mean(1, keepdim=True))
    return hyper
