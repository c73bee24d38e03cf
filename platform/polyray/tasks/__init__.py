"""Tasks: examples with a metric, in suites of one kind.

`load_suite(name, options)` gives a Suite; a new kind of task is one file and one line in TASKS.
"""

from collections.abc import Callable
from importlib import import_module

from polyray.lookup import lookup
from polyray.tasks.crossfit import crossfit
from polyray.tasks.jsonl import jsonl
from polyray.tasks.options import HubDataset, TaskOptions
from polyray.tasks.planted import load_planted
from polyray.tasks.task import SPLITS, Example, Suite, Task, read_all


def hub(options: TaskOptions) -> Suite:
    """Tasks made of datasets that the `datasets` library loads."""
    # The library takes seconds to import, in every worker process; only this suite needs it.
    suite: Suite = vars(import_module("polyray.tasks.hub"))["hub"](options)
    return suite


def planted(options: TaskOptions) -> Suite:
    """Seeded synthetic tasks, each a composition of a few known latent skills."""
    return load_planted(options.planted)


TASKS: dict[str, Callable[[TaskOptions], Suite]] = {
    "crossfit": crossfit,
    "hub": hub,
    "jsonl": jsonl,
    "planted": planted,
}


def load_suite(name: str, options: TaskOptions) -> Suite:
    """The suite called `name` with the tasks that `options` selects.

    Raises:
        InputError: no suite has that name, or its data or options are wrong.
    """
    return lookup(TASKS, name, "suite")(options)


__all__ = ["SPLITS", "TASKS", "Example", "HubDataset", "Suite", "Task", "TaskOptions", "load_suite", "read_all"]
