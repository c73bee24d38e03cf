"""Training by Quark as it runs on every worker."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

from polyray.backbones import Backbone, load_backbone
from polyray.errors import InputError
from polyray.runs.run import Run
from polyray.runs.selection import Selection
from polyray.tasks import Suite, load_suite
from polyray.training.data import Encoded, encoded, first_examples, mean_score, partition_tasks
from polyray.training.evaluation import predictions, score
from polyray.training.quark.batches import QuarkBatches, Reward, asking
from polyray.training.quark.loss import QuarkLoss
from polyray.training.quark.recipe import QuarkRecipe
from polyray.training.tuning.beginning import start_of
from polyray.training.tuning.journal import PhaseJournal
from polyray.training.tuning.origin import Origin, sizes
from polyray.training.tuning.sources import Sources
from polyray.training.tuning.training import SKILLS, train_phase
from polyray.training.tuning.tuning import Stage
from polyray.training.validation import Validator, validation_examples
from polyray.training.worker import Worker


def train_quark(recipe: QuarkRecipe, run: Run, worker: Worker, reward: Reward) -> dict[str, Any]:
    """Train one skill by Quark on every worker of the group, write and score it: the metrics, on the first worker.

    Raises:
        InputError: the method's options do not fit the network.
        Interrupted: the user asked the run to stop; a checkpoint is saved.
    """
    suite = load_suite(recipe.tasks)
    backbone = load_backbone(recipe.backbone)
    backbone.network.to(worker.device)
    data, tests = QuarkBatches(recipe, suite, backbone, worker, reward), _tests(recipe, suite, backbone)
    validator = _validator(recipe, suite, backbone)
    start = start_of(recipe, suite, backbone, data, worker)
    reference = deepcopy(start.model).requires_grad_(False).eval()
    tuning = recipe.method.tuning(recipe.training.steps)
    figures: dict[str, Any] = {}
    for phase in tuning.phases(start):  # one, see `stage_of`
        data.follow(phase.model)
        model = phase.model
        stage = stage_of(recipe)
        journal = PhaseJournal(run.phase(stage.name), start, phase, [stage], Selection(recipe.training.keep))
        loss = QuarkLoss(model, reference, recipe.quark)
        figures = train_phase(recipe, phase, journal, start, Sources(backbone, {}), validator, loss)
    skill = tuning.skill(start)
    if not run.first:
        return {}
    predicted = predictions(model, tests, recipe.evaluation, recipe.text.max_output)
    scores = score(suite.tasks, tests.examples, predicted)
    metrics = {"mean": mean_score(scores), "tasks": scores, **({"validation": figures} if figures else {})}
    metrics |= {"rewards": data.sampler.means, "parameters": sizes(skill)}
    metrics["too_long"] = sum(row.cut for row in (*data.encoded.rows, *tests.rows))
    provenance = Origin(recipe=recipe, suite=_asking(suite, recipe), backbone=backbone, data=data.fingerprints)
    provenance.save(skill, run.out / SKILLS, {"mean": metrics["mean"]})
    return metrics


def stage_of(recipe: QuarkRecipe) -> Stage:
    """The one phase of the method.

    Raises:
        InputError: the method has several.
    """
    stages = recipe.method.tuning(recipe.training.steps).plan()
    if len(stages) > 1:
        raise InputError(
            f"method.kind={recipe.method.kind} trains in {len(stages)} phases; Quark needs a method of one, such as "
            "method.kind=full or lora."
        )
    return stages[0]


def _asking(suite: Suite, recipe: QuarkRecipe) -> Suite:
    """The suite whose tasks ask for the highest rewards, as the form of a trained skill has it."""
    tasks = {name: replace(task, control=(recipe.quark.best, *task.control)) for name, task in suite.tasks.items()}
    return replace(suite, tasks=tasks)


def _tests(recipe: QuarkRecipe, suite: Suite, backbone: Backbone) -> Encoded:
    """The test examples with the token for the highest rewards."""
    names, limit = partition_tasks(suite, "train"), recipe.evaluation.max_examples
    examples = [x for name in names for x in first_examples(suite.tasks[name], "test", None, limit)]
    return encoded(backbone, suite, [asking(x, recipe.quark.best) for x in examples], recipe.text)


def _validator(recipe: QuarkRecipe, suite: Suite, backbone: Backbone) -> Validator | None:
    """The validation that the recipe asks for, under the token for the highest rewards; None for none."""
    if not recipe.evaluation.every:
        return None
    examples = [asking(example, recipe.quark.best) for example in validation_examples(recipe, suite)]
    data = encoded(backbone, suite, examples, recipe.text)
    limit, seed = recipe.text.max_output, recipe.training.seed
    return Validator(suite, data, recipe.evaluation, max_output=limit, seed=seed)
