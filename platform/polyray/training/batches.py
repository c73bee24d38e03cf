"""Batches of a suite's training tasks, shared by the workers of a group."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from polyray.backbones import Backbone
from polyray.objectives import Batch
from polyray.tasks import Suite
from polyray.training.data import encoded_once, examples_fingerprint, partition_tasks, pooled_examples
from polyray.training.recipe import SuiteRecipe
from polyray.training.sampler import Sampler
from polyray.training.worker import Worker


class Resumable(Protocol):
    """An order of examples that goes on from its state."""

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on from here."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""


class BatchSource(Protocol):
    """Source of batches of a training that goes on exactly after a kill."""

    @property
    def sampler(self) -> Resumable:
        """All that decides the next batches."""

    def restart(self) -> None:
        """Begin again with the first batch."""

    def draw(self) -> Batch:
        """This worker's share of the next batch."""


class TrainingData:
    """Batches of the training tasks; every worker draws the same batch and takes its share of it.

    Raises:
        InputError: the suite has no training tasks, or their examples do not fit the backbone.
    """

    def __init__(
        self, recipe: SuiteRecipe, suite: Suite, backbone: Backbone, worker: Worker, *, together: bool = False
    ) -> None:
        """Encode the examples; together: a batch is of one task."""
        self._backbone, self._worker = backbone, worker
        tasks = partition_tasks(suite, "train")
        by_task = {task: pooled_examples(suite.tasks[task], recipe.tasks.train_splits) for task in tasks}
        self.encoded = encoded_once(
            backbone, suite, [x for examples in by_task.values() for x in examples], recipe.text
        )
        self.fingerprints = {task: examples_fingerprint(examples) for task, examples in by_task.items()}
        rows = Counter(row.example.task for row in self.encoded.rows)
        sizes = [rows[task] for task in tasks]
        self._first = [sum(sizes[:task]) for task in range(len(sizes))]
        self._options, self._sizes, self._together = recipe.training, sizes, together
        self.restart()

    def restart(self) -> None:
        """Begin again with the first batch."""
        options = self._options
        self.sampler = Sampler(self._sizes, options.batch, options.task_power, options.seed, together=self._together)

    def draw(self) -> Batch:
        """This worker's share of the next batch."""
        indices = [self._first[task] + row for task, row in self.sampler.draw()]
        member, n_members = self._worker.rank, self._worker.world
        rows = [self.encoded.rows[index] for index in indices[member::n_members]]
        batch: Batch = self.encoded.objective.collate(self._backbone, rows, self.sampler.noise(member))
        if n_members > 1:  # the mean of the workers' gradients is then that of the whole batch, however it is shared
            batch = batch.out_of(self._worker.mean(float(batch.counts.sum())))
        return batch.to(self._worker.device)
