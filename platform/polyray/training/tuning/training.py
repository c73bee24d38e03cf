"""The training of one skill of a whole network as it runs on every worker."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from polyray.backbones import load_backbone
from polyray.errors import Interrupted
from polyray.runs.run import Run
from polyray.runs.selection import Selection
from polyray.tasks import load_suite
from polyray.training.batches import TrainingData
from polyray.training.data import mean_score
from polyray.training.evaluation import predictions, score
from polyray.training.loop import Training, fit
from polyray.training.tuning.beginning import start_of, tests_of
from polyray.training.tuning.journal import PhaseJournal, restore_memory
from polyray.training.tuning.origin import Origin, sizes
from polyray.training.tuning.recipe import TuningRecipe
from polyray.training.tuning.sources import Sources
from polyray.training.tuning.start import TuningStart
from polyray.training.tuning.tuning import Phase, Stage
from polyray.training.validation import Validator
from polyray.training.worker import Worker

SKILLS = "skills"


def tune(values: Mapping[str, Any], run: Run, worker: Worker) -> dict[str, Any]:
    """Train one skill on every worker of the group, write and score it: the metrics, on the first worker.

    Args:
        values: a `TuningRecipe` as plain data.

    Raises:
        InputError: the method's options do not fit the network.
        Interrupted: the user asked the run to stop; a checkpoint is saved.
    """
    recipe = TuningRecipe.model_validate(values)
    suite = load_suite(recipe.tasks)
    backbone = load_backbone(recipe.backbone)
    backbone.network.to(worker.device)
    data = TrainingData(recipe, suite, backbone, worker, together=bool(recipe.sources))
    tests, validator = tests_of(recipe, suite, backbone), Validator.of(recipe, suite, backbone)
    start = start_of(recipe, suite, backbone, data, worker)
    sources = Sources(backbone, recipe.sources)
    tuning = recipe.method.tuning(recipe.training.steps)
    model, figures = start.model, dict[str, Any]()
    for phase, journal in _phases(tuning.plan(), tuning.phases(start), start, run, recipe):
        model, figures = phase.model, train_phase(recipe, phase, journal, start, sources, validator)
    skill = tuning.skill(start)
    if not run.first:
        return {}
    predicted = sources.predict(tests, lambda rows: predictions(model, rows, recipe.evaluation, recipe.text.max_output))
    scores = score(suite.tasks, tests.examples, predicted)
    metrics = {"mean": mean_score(scores), "tasks": scores, **({"validation": figures} if figures else {})}
    metrics["parameters"] = sizes(skill)
    metrics["too_long"] = sum(row.cut for row in (*data.encoded.rows, *tests.rows))
    provenance = Origin(recipe=recipe, suite=suite, backbone=backbone, data=data.fingerprints)
    provenance.save(skill, run.out / SKILLS, {"mean": metrics["mean"]})
    return metrics


def _phases(
    stages: Sequence[Stage], phases: Iterable[Phase], start: TuningStart, run: Run, recipe: TuningRecipe
) -> Iterator[tuple[Phase, PhaseJournal]]:
    """The phases that are not over with their journals; a run that goes on begins with the last one that it saved."""
    runs = [run.phase(stage.name) for stage in stages]
    saved = [number for number, of_phase in enumerate(runs) if of_phase.newest_checkpoint is not None]
    first = saved[-1] if saved else 0
    restore_memory(start, runs[first])
    for number, phase in enumerate(phases):
        if number >= first:
            selection = Selection(recipe.training.keep)
            yield phase, PhaseJournal(run, start, phase, stages[: number + 1], selection)


def train_phase(
    recipe: TuningRecipe, phase: Phase, journal: PhaseJournal, start: TuningStart, sources: Sources,
    validator: Validator | None, forward: nn.Module | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train one phase to its end: the figures of the validation of its state.

    Args:
        forward: gives the loss of a batch; None: the phase's model does.
    """
    options, steps, data, worker = recipe.training, journal.steps, start.batches, start.worker
    data.restart()
    torch.manual_seed(options.seed)
    noise = torch.Generator(worker.device).manual_seed(options.seed + 1 + worker.rank)
    training = Training(
        model=phase.model, forward=phase.model if forward is None else forward, adam=phase.adam, batches=data,
        noise=noise, average=worker.mean, around=sources.around,
    )  # fmt: skip

    def reduce(parameters: Sequence[nn.Parameter]) -> None:
        worker.average_gradients(parameters)
        phase.before_step()

    def stop() -> bool:
        return worker.mean(float(journal.stop_requested)) > 0  # all members or none

    def validate() -> dict[str, Any] | None:
        if validator is None:
            return None
        return sources.validate(lambda tasks: validator(phase.model, tasks), validator.tasks)

    training.reduce = reduce
    with phase.installed():
        journal.restore(training, data)
        for report in fit(
            training, options, steps, every=options.report_every, accumulate=options.accumulate,
            precision=options.precision, validate_every=recipe.evaluation.every, stop=stop,
        ):  # fmt: skip
            if report.due or report.validate:
                journal.write(report, validate() if report.validate else None)
            if report.stop or journal.save_due(report, options):
                journal.save(training, data)
            if report.stop and report.step < steps:
                raise Interrupted(f"Stopped after {report.step} of {steps} steps, as asked.")
        journal.end()
    return journal.selection.figures
