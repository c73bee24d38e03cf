"""The work of a process that adapts skills: groups of few-shot adaptations, one after the other or together."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from polyray.modules.site import without_skills
from polyray.skills.inventory import InventoryFolder, load_inventory
from polyray.tasks import Suite, load_suite
from polyray.training.adaptation import Adapted, FewShotData, adapt, attempt, diverged
from polyray.training.adapted import FewShots, write_adapted
from polyray.training.blocks.adaptation import Adaptation, adapt_together
from polyray.training.blocks.model import BlockModel, block_predictions
from polyray.training.data import category_allocation, encoded, first_examples
from polyray.training.evaluation import predictions
from polyray.training.methods import AdaptationOptions, candidates
from polyray.training.model import Modular, load_model
from polyray.training.pieces import AdaptationRecipe, Group, Piece
from polyray.training.worker import own_device


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A run's skills on their backbone, and the suite of the tasks to adapt to."""

    suite: Suite
    folder: InventoryFolder
    model: Modular


def adapt_group(group: Group) -> dict[str, Any]:
    """Do the pieces of a group; the outcome of each that had none is written when it is whole.

    Returns the outcomes as {"outcomes": [...]}, in the order of the pieces.
    """
    recipe = group.pieces[0].recipe
    trained = _loaded(recipe.model_dump_json(include={"suite", "tasks", "skills", "backbone_dtype"}))
    trained.model.inventory.install(trained.model.network)  # the group before left its own copy there
    work = _together if group.together else _one_by_one
    return {"outcomes": work([[_few_shots(piece, trained) for piece in unit] for unit in group.units], trained)}


def adapt_one(piece: Piece) -> dict[str, Any]:
    """Adapt to one task from one split by one method; the outcome is written and returned."""
    (outcome,) = adapt_group(Group(units=((piece,),), together=False))["outcomes"]
    return dict(outcome)


def _one_by_one(units: Sequence[Sequence[FewShots]], trained: Trained) -> list[dict[str, Any]]:
    outcomes: list[dict[str, Any]] = []
    for unit in units:
        options = _options_of(unit, trained)
        outcomes += [few.piece.outcome() or _alone(few, options, trained) for few in unit]
    return outcomes


def _alone(few: FewShots, options: AdaptationOptions, trained: Trained) -> dict[str, Any]:
    piece, recipe = few.piece, few.piece.recipe
    with _backbone_restored(trained, piece):
        adapted = adapt(trained.model, piece.method, few.data, options, recipe.evaluation, few.relatives)
        predicted = predictions(adapted.model, few.tests, recipe.evaluation, recipe.text.max_output)
        return write_adapted(few, trained.folder, adapted, predicted)


@contextmanager
def _backbone_restored(trained: Trained, piece: Piece) -> Iterator[None]:
    """After the block the backbone has its weights from before, also where the method trains it."""
    network = trained.model.network
    pretrained = {name: p.clone() for name, p in network.named_parameters()} if piece.method == "full" else {}
    try:
        yield
    finally:
        network.load_state_dict(pretrained, strict=False)


def _options_of(unit: Sequence[FewShots], trained: Trained) -> AdaptationOptions:
    """The options with which each split of a unit is adapted to alone: where there are several, one choice for all."""
    piece = unit[0].piece
    recipe = piece.recipe
    tried = candidates(recipe.adapt, piece.method, type(trained.model.router))
    if len(unit) == 1 or len(tried) == 1:
        return recipe.adapt
    devs: list[list[float | None]] = []
    for few in unit:
        devs.append([])
        for options in tried:
            with _backbone_restored(trained, piece):
                adapted = attempt(trained.model, piece.method, few.data, options, recipe.evaluation, few.relatives)
            devs[-1].append(None if adapted is None else adapted.dev)
    return tried[_best(devs, [few.piece for few in unit])]


def _best(devs: Sequence[Sequence[float | None]], unit: Sequence[Piece]) -> int:
    """The training with the best mean of development scores [splits, trainings], in all of which its loss had bounds.

    Raises:
        InputError: there is none.
    """
    means = {
        number: sum(score for score in scores if score is not None) / len(scores)
        for number, scores in enumerate(zip(*devs, strict=True))
        if None not in scores
    }
    if not means:
        raise diverged(unit[0].task, unit[0].method)
    return max(means, key=means.__getitem__)  # the first of several


def _together(units: Sequence[Sequence[FewShots]], trained: Trained) -> list[dict[str, Any]]:
    """Train all in shared batches, choose, and score the tests of those that were chosen, in shared batches too."""
    piece = units[0][0].piece
    recipe = piece.recipe
    tried = candidates(recipe.adapt, piece.method, type(trained.model.router))
    splits = [few for unit in units for few in unit]
    trainings = [
        Adaptation(data=few.data, options=options, relatives=few.relatives) for few in splits for options in tried
    ]
    results: list[Adapted | None] = []
    for start in range(0, len(trainings), recipe.adapt.stack):
        some = trainings[start : start + recipe.adapt.stack]
        results += adapt_together(trained.model, piece.method, some, recipe.evaluation)
    chosen: list[Adapted] = []
    for unit in units:
        pieces, first = [few.piece for few in unit], len(chosen) * len(tried)
        by_split = [results[first + n * len(tried) :][: len(tried)] for n in range(len(unit))]
        best = _best([[None if one is None else one.dev for one in of_split] for of_split in by_split], pieces)
        chosen += [result for of_split in by_split if (result := of_split[best]) is not None]
    predicted = _predicted(chosen, splits, recipe)
    trained.model.inventory.install(trained.model.network)  # the copies are not held any longer
    return [
        few.piece.outcome() or write_adapted(few, trained.folder, adapted, answers)
        for few, adapted, answers in zip(splits, chosen, predicted, strict=True)
    ]


def _predicted(chosen: Sequence[Adapted], splits: Sequence[FewShots], recipe: AdaptationRecipe) -> list[list[Any]]:
    """The predictions for the test rows of each split by the model that was adapted to it."""
    answers: list[list[Any]] = []
    for start in range(0, len(chosen), recipe.adapt.stack):
        some = slice(start, start + recipe.adapt.stack)
        model = BlockModel([adapted.model for adapted in chosen[some]]).eval()
        tests = {block: few.tests for block, few in enumerate(splits[some])}
        predicted = block_predictions(model, tests, recipe.evaluation, [recipe.text.max_output] * len(tests))
        answers += [predicted[block] for block in tests]
    return answers


def _few_shots(piece: Piece, trained: Trained) -> FewShots:
    """The rows of a piece; no group's copy is on the backbone yet."""
    suite, model, recipe = trained.suite, trained.model, piece.recipe
    task = suite.tasks[piece.task]
    with without_skills(model.inventory):
        train, dev, tests = (
            encoded(model.backbone, suite, examples, recipe.text)
            for examples in (
                task.examples("train", piece.seed), task.examples("dev", piece.seed),
                first_examples(task, "test", piece.seed, recipe.evaluation.max_examples),
            )
        )  # fmt: skip
    data = FewShotData(task=task, train=train, dev=dev)
    return FewShots(piece=piece, data=data, tests=tests, relatives=relatives(suite, model, task.name))


@lru_cache(maxsize=1)  # a worker process does many groups of one run
def _loaded(key: str) -> Trained:
    recipe = AdaptationRecipe.model_validate_json(key)
    folder = load_inventory(Path(recipe.skills))
    model = load_model(folder, recipe.backbone_dtype)
    model.to(own_device())
    return Trained(suite=load_suite(recipe.tasks), folder=folder, model=model)


def relatives(suite: Suite, model: Modular, task: str) -> list[str]:
    """The tasks of the model's router that are of the category of `task`."""
    categories = category_allocation(suite)
    return [name for name in model.router.tasks.names if categories.get(name) == categories[task]]
