"""The work of a multi-task training, and the same training cut short."""

from typing import TypeVar

from polyray.runs.workload import Amounts
from polyray.tasks import load_suite
from polyray.training.data import first_examples, partition_tasks
from polyray.training.recipe import TrainingRecipe

ARecipe = TypeVar("ARecipe", bound=TrainingRecipe)


def amounts(recipe: TrainingRecipe, stride: int) -> Amounts:
    """Counts of a whole training.

    Raises:
        InputError: the data are missing or wrong.
    """
    options, suite = recipe.training, load_suite(recipe.tasks)
    tasks, limit = partition_tasks(suite, "train"), recipe.evaluation.max_examples
    every, save_every = options.report_every, options.save_every
    reported = {*range(every, options.steps, every), options.steps}
    saved = [step for step in reported if step == options.steps or step // save_every > (step - every) // save_every]
    return Amounts(
        steps=recipe.ticket.steps + options.steps, reports=len(reported), checkpoints=len(saved),
        validations=-(-options.steps // recipe.evaluation.every) if recipe.evaluation.every else 0,
        scored=sum(len(first_examples(suite.tasks[task], "test", None, limit)) for task in tasks),
    )  # fmt: skip


def shortened(recipe: ARecipe, steps: int, events: int, scored: int) -> ARecipe:
    """The same training with so many updates, which reports, validates and saves about `events` times.

    Of several workers one is left, with its share of a batch.

    Args:
        scored: test examples of a task at the end, at most.
    """
    values = recipe.model_dump()
    n_workers, every = values.get("workers", {}).get("n", 1), -(-steps // events)
    values["training"] |= {
        "steps": steps, "report_every": every, "save_every": every, "batch": recipe.training.batch // n_workers,
    }  # fmt: skip
    if recipe.evaluation.every:
        values["evaluation"]["every"] = every
    values["ticket"]["steps"] = 0
    limit = recipe.evaluation.max_examples
    values["evaluation"]["max_examples"] = min(limit, scored) if limit else scored
    if "workers" in values:  # the process that measures has their resources itself
        values["workers"] |= {"n": 1, "gpus": 0}
    return type(recipe).model_validate(values)
