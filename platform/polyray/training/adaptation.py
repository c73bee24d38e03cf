"""Few-shot adaptation of a trained inventory to a task that it has never seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyray.backbones.backbone import device_of
from polyray.errors import InputError
from polyray.objectives import Batch, EvaluationOptions
from polyray.routing import module_of
from polyray.tasks import Task
from polyray.training.data import Encoded
from polyray.training.evaluation import predictions
from polyray.training.loop import Training, fit
from polyray.training.methods import AdaptationOptions, Method, candidates
from polyray.training.model import Modular
from polyray.training.optimizers import optimizer
from polyray.training.sampler import Sampler
from polyray.training.starting import start


@dataclass(frozen=True, eq=False, kw_only=True)
class FewShotData:
    """One task's few-shot split as rows of its objective."""

    task: Task
    train: Encoded
    dev: Encoded

    @property
    def longest_answer(self) -> int:
        """Tokens of the longest answer of the development set, the most that is written in a look at it."""
        longest: int = max(row.n_written for row in self.dev.rows)
        return longest

    def score(self, predicted: Sequence[object]) -> float:
        """The task's own metric of predictions for the development set."""
        return self.task.score(predicted, self.dev.examples)[self.task.metric]


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """The result of an adaptation: the model in the state that was chosen."""

    model: Modular
    dev: float  # score on the development set
    rate: float  # of the skills, as chosen
    routing_rate: float  # of the routing, as chosen
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
    """Train a copy of the inventory of `model` on the few examples of an unseen task, once for each rate to try.

    The model itself keeps its tensors: the adapted copy takes its place on the backbone until the next call.
    `relatives` are known tasks of the new task's category; `options.seed` fixes all that is drawn.

    Raises:
        InputError: the method asks for rows to train and the router has none, or no training had a finite loss.
    """
    network = model.network
    before = _copied(network.state_dict()) if method == "full" else {}
    best: Adapted | None = None
    trained_backbone: dict[str, Tensor] = {}
    for candidate in candidates(options, method, type(model.router)):
        network.load_state_dict(before, strict=method == "full")
        adapted = attempt(model, method, data, candidate, decoding, relatives)
        if adapted is not None and (best is None or adapted.dev > best.dev):
            best = adapted
            trained_backbone = _copied(network.state_dict()) if method == "full" else {}
    if best is None:
        raise diverged(data.task.name, method)
    best.model.inventory.install(network)
    network.load_state_dict(trained_backbone, strict=method == "full")
    return best


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}


def diverged(task: str, method: Method) -> InputError:
    """The error of an adaptation none of whose trainings reached a look at the development set."""
    return InputError(
        f"Adapting to {task!r} by {method}: the loss is no finite number under any learning rate. Lower adapt.lr and "
        "adapt.routing_lr, or adapt.rates and adapt.routing_rates."
    )


def attempt(
    model: Modular, method: Method, data: FewShotData, options: AdaptationOptions, decoding: EvaluationOptions,
    relatives: Sequence[str] = (),
) -> Adapted | None:  # fmt: skip
    """One training of `adapt`, at the one rate of each kind that `options` have; None where its loss has no bounds."""
    generator = torch.Generator().manual_seed(options.seed)
    best: tuple[float, int, dict[str, Tensor]] | None = None
    with torch.random.fork_rng():  # dropout draws from torch's own generators
        torch.manual_seed(options.seed)
        copy = start(model, method, data.task, relatives, generator)
        copy.inventory.install(model.network)
        copy.inventory.requires_grad_(method not in ("row", "full"))
        module_of(copy.router).requires_grad_(method != "full")
        for dev, step in _looks(copy, method, data, options, decoding, generator):
            if best is None or dev > best[0]:
                best = dev, step, _copied({name: p for name, p in copy.named_parameters() if p.requires_grad})
    if best is None:
        return None
    dev, step, state = best
    copy.load_state_dict(state, strict=False)
    return Adapted(model=copy.eval(), dev=dev, rate=options.lr, routing_rate=options.routing_lr, step=step)


def _looks(
    copy: Modular, method: Method, data: FewShotData, options: AdaptationOptions, decoding: EvaluationOptions,
    generator: torch.Generator,
) -> Iterator[tuple[float, int]]:  # fmt: skip
    """(development score, step) at each look, until the end or a loss without bounds."""
    adam = optimizer(copy, options, backbone_lr=options.lr if method == "full" else 0.0)
    batches = TaskBatches(copy, data.train, options.batch, options.seed)
    training = Training(model=copy, forward=copy, adam=adam, batches=batches, noise=generator)
    try:
        for report in fit(training, options, options.steps, every=options.look_every):
            yield data.score(predictions(copy, data.dev, decoding, data.longest_answer)), report.step
    except FloatingPointError:  # at this rate; others may do
        return
