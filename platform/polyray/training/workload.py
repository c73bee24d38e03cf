"""The work of a training, of many tasks or of one skill, and the same training cut short."""

from dataclasses import replace
from typing import Any, TypeVar

from polyray.runs.workload import Amounts
from polyray.tasks import load_suite
from polyray.training.data import first_examples, partition_tasks
from polyray.training.recipe import SuiteRecipe, TrainingRecipe
from polyray.training.tuning.recipe import TuningRecipe

ARecipe = TypeVar("ARecipe", bound=TrainingRecipe)
ATuning = TypeVar("ATuning", bound=TuningRecipe)


def amounts(recipe: TrainingRecipe, stride: int) -> Amounts:
    """Counts of a whole training.

    Raises:
        InputError: the data are missing or wrong.
    """
    counted = stage_amounts(recipe, recipe.training.steps)
    return replace(counted, steps=recipe.ticket.steps + counted.steps, scored=n_scored(recipe))


def stage_amounts(recipe: SuiteRecipe, steps: int) -> Amounts:
    """Counts of a stretch of so many updates, without what is scored at the end."""
    every, save_every = recipe.training.report_every, recipe.training.save_every
    reported = {*range(every, steps, every), steps}
    saved = [step for step in reported if step == steps or step // save_every > (step - every) // save_every]
    return Amounts(
        steps=steps, reports=len(reported), checkpoints=len(saved), scored=0,
        validations=-(-steps // recipe.evaluation.every) if recipe.evaluation.every else 0,
    )  # fmt: skip


def n_scored(recipe: SuiteRecipe) -> int:
    """Test examples that are scored at the end of a training.

    Raises:
        InputError: the data are missing or wrong.
    """
    suite, limit = load_suite(recipe.tasks), recipe.evaluation.max_examples
    tasks = partition_tasks(suite, "train")
    return sum(len(first_examples(suite.tasks[task], "test", None, limit)) for task in tasks)


def shortened(recipe: ARecipe, steps: int, events: int, scored: int) -> ARecipe:
    """The same training with so many updates, which reports, validates and saves about `events` times.

    Of several workers one is left, with its share of a batch.

    Args:
        scored: test examples of a task at the end, at most.
    """
    values = _shortened(recipe, steps, events, scored)
    values["ticket"]["steps"] = 0
    return type(recipe).model_validate(values)


def shortened_tuning(recipe: ATuning, steps: int, events: int, scored: int) -> ATuning:
    """As `shortened`, for the training of one skill: each phase gets its share of the updates, one at least."""
    stages = recipe.method.tuning(recipe.training.steps).plan()
    share = steps / sum(stage.steps for stage in stages)
    values = _shortened(recipe, max(1, round(share * recipe.training.steps)), events, scored)
    full_steps = values["method"].get("full_steps", 0)
    values["method"] |= {"full_steps": max(1, round(share * full_steps))} if full_steps else {}
    return type(recipe).model_validate(values)


def tuning_amounts(recipe: TuningRecipe, stride: int) -> Amounts:
    """Counts of the whole training of one skill, of all its phases together.

    Raises:
        InputError: the data are missing or wrong.
    """
    stages = [stage_amounts(recipe, x.steps) for x in recipe.method.tuning(recipe.training.steps).plan()]
    counts = {name: sum(vars(stage)[name] for stage in stages) for name in vars(stages[0])}
    return Amounts(**{**counts, "scored": n_scored(recipe)})


def unmeasured(n_workers: int) -> tuple[str, ...]:
    """The part of a training by several workers that one worker with its share of the batch does without."""
    if n_workers == 1:
        return ()
    return (f"the exchange of gradients among workers.n={n_workers}; one worker with its share was measured",)


def _shortened(recipe: TrainingRecipe | TuningRecipe, steps: int, events: int, scored: int) -> dict[str, Any]:
    values = recipe.model_dump()
    n_workers, every = values.get("workers", {}).get("n", 1), -(-steps // events)
    values["training"] |= {
        "steps": steps, "report_every": every, "save_every": every, "batch": recipe.training.batch // n_workers,
    }  # fmt: skip
    if recipe.evaluation.every:
        values["evaluation"]["every"] = every
    limit = recipe.evaluation.max_examples
    values["evaluation"]["max_examples"] = min(limit, scored) if limit else scored
    if "workers" in values:  # the process that measures has their resources itself
        values["workers"] |= {"n": 1, "gpus": 0}
    return values
