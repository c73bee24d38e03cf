"""An objective's interface: how the examples of a task are put to a network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from polyray.backbones import Backbone
from polyray.backbones.backbone import Switchable, evaluating, longest_first
from polyray.modules.mix import Mix, TokenMix
from polyray.modules.site import Mixable, mixing
from polyray.objectives.options import EvaluationOptions, TextOptions
from polyray.objectives.questions import Question
from polyray.tasks import Example, Task

R = TypeVar("R", bound="Row")
P = TypeVar("P")


class Row(Protocol):
    """One example as numbers."""

    @property
    def example(self) -> Example:
        """The example that the row was made of, or the piece of one."""

    @property
    def cut(self) -> bool:
        """Whether tokens of it were cut off."""

    @property
    def n_read(self) -> int:
        """Tokens that the network reads."""

    @property
    def n_written(self) -> int:
        """Tokens of the answer that the network writes; 0 where it writes none."""


@dataclass(frozen=True, kw_only=True)
class InputRow:
    """Base of rows whose input is one sequence of token numbers; nothing is written unless the row says so.

    limit: tokens of a written answer at most, where that is less than a prediction allows; 0: as many as it allows.
    """

    input: tuple[int, ...]
    limit: int = 0

    @property
    def n_read(self) -> int:
        """Tokens of the input."""
        return len(self.input)

    @property
    def n_written(self) -> int:
        """Tokens of the answer."""
        return 0


class Batch(Protocol):
    """Some rows as tensors, with all that the loss needs."""

    @property
    def objective(self) -> str:
        """Key of OBJECTIVES of the objective whose batch it is."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The name of each example's task."""

    @property
    def counts(self) -> Tensor:
        """[B], how often each example counts in the mean loss: its written tokens, its words, or once."""

    @property
    def weights(self) -> Tensor:
        """[B], each example's share in the mean loss; they sum to 1, but for workers that share a batch."""

    def out_of(self, total: float) -> Self:
        """This batch with weights out of `total` counts in place of its own: the mean over the workers' shares."""

    @property
    def n_tokens(self) -> int:
        """Tokens read and written, padding left out."""

    def to(self, device: torch.device) -> Self:
        """This batch on `device`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TensorBatch:
    """Base of batches that are dataclasses: the fields that every batch has, and the way to a device."""

    objective: str
    tasks: tuple[str, ...]
    counts: Tensor
    n_tokens: int
    total: float = 0.0  # counts that the weights are shares of; 0: those of this batch

    @property
    def weights(self) -> Tensor:
        """[B], each example's share in the mean loss."""
        return self.counts / (self.total or self.counts.sum().clamp_min(1))

    def out_of(self, total: float) -> Self:
        """This batch with weights out of `total` counts."""
        return replace(self, total=total)

    def to(self, device: torch.device) -> Self:
        """This batch on `device`."""
        tensors: dict[str, Any] = {name: x.to(device) for name, x in vars(self).items() if isinstance(x, Tensor)}
        return replace(self, **tensors)


class Network(Switchable, Protocol):
    """Backbone with skills, router and heads: the network that an objective computes with."""

    @property
    def backbone(self) -> Backbone:
        """The pretrained network, with the skills on it."""

    @property
    def inventory(self) -> Mixable:
        """The skills."""

    @property
    def router(self) -> Callable[[tuple[str, ...]], Mix | TokenMix]:
        """From the tasks of a batch to the mix of skills."""

    @property
    def heads(self) -> nn.ModuleDict:
        """The heads of the tasks, by key."""


class Objective(Protocol):
    """Way in which a task is put to a network; an entry of OBJECTIVES.

    Rows and batches are of the objective's own classes. `encode` is called before skills are on the backbone, `loss`
    inside `mixing` with the mix of the batch's tasks in force.

    Attributes:
        name: its key in OBJECTIVES.
        predicts: the kind of its predictions, which a task's metric must score.
        needs: the kind of backbone that it needs, in words.
        stacks: whether adaptations to its tasks may share batches: rows are `InputRow`s, `collate` draws nothing, and
            no task has a head.
        otherwise: key of the objective that takes its place on a backbone that it does not fit; empty: none does.
    """

    name: str
    predicts: str
    needs: str
    stacks: bool
    otherwise: str

    def fits(self, backbone: Backbone) -> bool:
        """Whether the backbone can do what the objective needs."""

    def encode(
        self, backbone: Backbone, tasks: Mapping[str, Task], examples: Sequence[Any], text: TextOptions
    ) -> list[Any]:
        """The examples as rows.

        Raises:
            InputError: a text is longer than `text` allows, or an example lacks what the objective needs.
        """

    def ask(self, backbone: Backbone, task: Task, questions: Sequence[Question], text: TextOptions) -> list[Any]:
        """Inputs without answers as rows for `answer`; like `encode` it is called without skills on the backbone.

        Raises:
            InputError: a text is longer than `text` allows, or a question lacks what the objective needs.
        """

    def collate(self, backbone: Backbone, rows: Sequence[Any], generator: torch.Generator | None = None) -> Any:
        """The batch of some rows; what training draws anew for each batch comes from `generator`.

        Without a generator nothing depends on chance, nor on the rows beside a row.
        """

    def loss(self, network: Network, batch: Any) -> Tensor:
        """[B], the loss of each example: the mean over what is predicted in it; 0 where nothing is."""

    def predict(self, network: Network, rows: Sequence[Any], options: EvaluationOptions, max_output: int) -> list[Any]:
        """The prediction for each row; tasks may be mixed freely. It writes at most `max_output` tokens.

        Raises:
            InputError: `options` ask for something that a row does not allow.
        """

    def answer(self, network: Network, rows: Sequence[Any], options: EvaluationOptions, max_output: int) -> list[Any]:
        """The answer to each row of `ask` as JSON can hold it: a text, a number, or a list with one for each word.

        Raises:
            InputError: as `predict`.
        """

    def head_key(self, task: Task) -> str:
        """The key under which tasks share a head, beginning with the objective's name; empty: the task has none."""

    def head(self, backbone: Backbone, key: str, generator: torch.Generator) -> nn.Module | None:
        """A fresh head for the tasks of this key; None where it is empty."""


@torch.no_grad()
def in_batches(network: Network, rows: Sequence[R], size: int, step: Callable[[list[R]], Sequence[P]]) -> list[P]:
    """The results of `step` for all rows, in their order, from batches of `size` rows of similar length.

    The mix of each batch's tasks is in force while `step` runs, in evaluation mode.
    """
    results: dict[int, P] = {}
    with evaluating(network):
        for indices in longest_first([row.n_read for row in rows], size):
            chosen = [rows[index] for index in indices]
            mix = network.router(tuple(row.example.task for row in chosen))
            with mixing(network.inventory, mix):
                results.update(zip(indices, step(chosen), strict=True))
    return [results[index] for index in range(len(rows))]
