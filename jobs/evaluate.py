"""Scoring trained skills on the tasks that they know."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from polyray.cluster.session import ray_session
from polyray.cluster.tasks import run_tasks
from polyray.config import Section
from polyray.errors import InputError
from polyray.files import write_file
from polyray.jobs.sections import EvaluationSection, TextSection
from polyray.modules.site import without_skills
from polyray.progress import bars
from polyray.reports.sections.language import write_scores
from polyray.runs.job import Context, Result
from polyray.skills.inventory import load_inventory
from polyray.tasks import read_all
from polyray.training.data import SuiteConfig, encoded, held, mean_score, suite_of
from polyray.training.evaluation import answers
from polyray.training.evaluation import score as scores_of


class ScoreSection(Section):
    """What is scored."""

    split: Literal["train", "dev", "test"] = "test"
    """Which examples of each task."""
    tasks: tuple[str, ...] = ()
    """Tasks by name, out of those that the skills were trained on; empty: all of them."""
    mixed: int = Field(16, ge=1)
    """Tasks that one Ray task scores together; their examples share batches."""
    gpus: float = Field(0, ge=0)
    """GPUs of one Ray task; a fraction shares one."""


class Config(SuiteConfig):
    """Score the skills of a run on the tasks that they were trained on."""

    skills: str = ""
    """Folder that `polyray run polytropon` wrote: RUN/skills."""
    score: ScoreSection = ScoreSection()
    """What is scored."""
    text: TextSection = TextSection()
    """Lengths of texts."""
    evaluation: EvaluationSection = EvaluationSection()
    """How answers are found."""


PREDICTIONS = "predictions"


def run(config: Config, context: Context) -> Result:
    """Score on Ray, several tasks at a time; every prediction is kept in predictions/TASK.jsonl; see `Config`."""
    if not config.skills:
        raise InputError("evaluate needs skills=FOLDER, the skills folder of a finished polytropon run.")
    folder, suite = load_inventory(Path(config.skills)), suite_of(config)
    known = [name for name in folder.tasks if name in suite.tasks]
    unknown = [name for name in config.score.tasks if name not in known]
    if unknown or not known:
        found = f"{unknown[0]!r} is not" if unknown else f"None of the suite {suite.name} is"
        raise InputError(f"{found} a task that {config.skills} was trained on: {', '.join(folder.tasks)}.")
    names = list(config.score.tasks or known)
    read_all(suite, names, (config.score.split,))
    shares = [names[start : start + config.score.mixed] for start in range(0, len(names), config.score.mixed)]
    payload = {"config": config.model_dump(mode="json"), "out": str(context.out)}
    scores: dict[str, dict[str, float]] = {}
    with ray_session(context.address, context.out / "logs" / "ray"), bars(context.console) as display:
        line = display.add_task("scoring", total=len(names), told="")
        for place, outcome in run_tasks(
            evaluate_share, [{**payload, "names": share} for share in shares], gpus=config.score.gpus
        ):
            scores |= outcome["scores"]
            display.update(line, advance=len(shares[place]))
    scores = {name: scores[name] for name in names}
    metrics = {"mean": mean_score(scores), "tasks": scores}
    write_scores(context.out, metrics, context.console)
    return Result(metrics=metrics)


def evaluate_share(piece: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of some tasks, predicted in mixed batches."""
    config = Config.model_validate(piece["config"])
    suite, model = suite_of(config), load_inventory(Path(config.skills)).build()
    model.to("cuda" if torch.cuda.is_available() else "cpu")  # Ray shows a task the GPUs that it was given, no others
    most = config.evaluation.max_examples
    examples = [x for name in piece["names"] for x in held(suite.tasks[name], config.score.split, None, most)]
    with without_skills(model.inventory):
        data = encoded(model.backbone, suite, examples, config.text.lengths())
    predictions = answers(model, data.rows, config.evaluation.decoding(), config.text.max_output)
    folder = Path(piece["out"]) / PREDICTIONS
    folder.mkdir(exist_ok=True)
    for name in piece["names"]:
        lines = [
            json.dumps({"input": x.input, "outputs": x.outputs, "prediction": text}, ensure_ascii=False) + "\n"
            for x, text in zip(examples, predictions, strict=True)
            if x.task == name
        ]
        write_file(folder / f"{name}.jsonl", "".join(lines))
    return {"scores": scores_of(suite.tasks, examples, predictions)}
