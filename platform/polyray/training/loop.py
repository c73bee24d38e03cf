"""The training loop."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from polyray.modules.site import mixing
from polyray.objectives import Batch
from polyray.training.model import Modular
from polyray.training.optimizers import AdamOptions, set_rates, trained

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Figures after a step: `step` steps are done.

    tokens: read since the report before.
    due: it is one of those every `every` steps; loss is the mean since the last of these.
    validate: a validation is due.
    stop: training was asked to stop, perhaps before a report was due.
    """

    step: int
    loss: float
    tokens: int
    due: bool = True
    validate: bool = False
    stop: bool = False
    rates: dict[str, float] = field(default_factory=dict)


class Batches(Protocol):
    """Source of batches."""

    def draw(self) -> Batch:
        """The next batch, on the model's device."""


@dataclass(eq=False, kw_only=True)
class Training:
    """All that a step changes.

    forward: the model, or what wraps it (DDP). average: makes a loss the mean over workers, for reports. apart: a block
    in which the wrapper leaves gradients to each worker. reduce: makes gradients the mean over workers where no wrapper
    does. around: a block for the passes over a batch. set_peaks: sets the optimiser's peak rates before a step, where
    they change. lost: the sum of this worker's losses over the `n_lost` steps since the last report that was due.
    """

    model: Modular
    forward: nn.Module
    adam: torch.optim.Optimizer
    batches: Batches
    noise: torch.Generator
    step: int = 0
    lost: float = 0.0
    n_lost: int = 0
    average: Callable[[float], float] = float
    apart: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    reduce: Callable[[Sequence[nn.Parameter]], object] = len
    set_peaks: Callable[[int], object] = bool
    around: Callable[[Batch], contextlib.AbstractContextManager[object]] = lambda batch: contextlib.nullcontext()


def fit(
    training: Training,
    options: AdamOptions,
    steps: int,
    *,
    every: int,
    accumulate: int = 1,
    precision: Precision = "fp32",
    validate_every: int = 0,
    stop: Callable[[], bool] = bool,
) -> Iterator[Report]:
    """Train until `steps` steps are done, and say every `every` steps, and at the end, how it goes.

    A step is `accumulate` batches. Whoever wants a checkpoint or a bar takes what this yields.

    Args:
        validate_every: a report comes every so many steps, and at the end, that says that a validation is due; 0: none.
        stop: asked after every step; when it answers yes, a report follows at once. Never yes unless given.

    Raises:
        FloatingPointError: the loss is no longer a finite number.
    """
    training.model.train()
    tokens = 0
    while training.step < steps:
        tokens += _step(training, options, steps, accumulate, precision)
        due, validate = (is_due(training.step, steps, often) for often in (every, validate_every))
        stopped = stop()
        if due or validate or stopped:
            mean = training.average(training.lost / training.n_lost)
            if not mean < float("inf"):
                raise FloatingPointError(f"The loss is {mean} after step {training.step}: lower training.lr.")
            rates = {str(group["name"]): float(group["lr"]) for group in training.adam.param_groups}
            if due:
                training.lost, training.n_lost = 0.0, 0
            yield Report(
                step=training.step, loss=mean, tokens=tokens, due=due, validate=validate, stop=stopped, rates=rates
            )
            training.model.train()
            tokens = 0


def is_due(step: int, steps: int, every: int) -> bool:
    """Whether something that happens every `every` steps (0: never) and after the last one happens after this one."""
    return every > 0 and (step % every == 0 or step == steps)


def _step(training: Training, options: AdamOptions, steps: int, accumulate: int, precision: Precision) -> int:
    """One update: the number of tokens that were read."""
    training.set_peaks(training.step)
    set_rates(training.adam, training.step, steps, options.warmup)
    tokens = 0
    for number in range(accumulate):
        batch = training.batches.draw()
        with contextlib.nullcontext() if number + 1 == accumulate else training.apart():
            loss = _backward(training, batch, accumulate, precision)
        training.lost += loss.item() / accumulate
        tokens += batch.n_tokens
    _complete(training.model.heads)
    training.reduce(trained(training.adam))
    nn.utils.clip_grad_norm_(trained(training.adam), options.clip)
    training.adam.step()
    training.adam.zero_grad(set_to_none=True)
    training.step += 1
    training.n_lost += 1
    return tokens


def _backward(training: Training, batch: Batch, accumulate: int, precision: Precision) -> Tensor:
    device = batch.weights.device.type
    half = torch.autocast(device, dtype=torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
    with training.around(batch), mixing(training.model.inventory):
        with half:
            loss: Tensor = training.forward(batch, training.noise)
        (loss / accumulate).backward()
    return loss.detach()


def _complete(heads: nn.Module) -> None:
    """Give heads that no example of the batches uses a gradient of 0, so that all workers step alike."""
    for parameter in heads.parameters():
        if parameter.requires_grad and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
