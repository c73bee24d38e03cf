"""Scoring trained skills on the tasks that they know: those of a language model, or an agent's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from polyray.backbones.backbone import Kind
from polyray.cluster.tasks import run_pieces
from polyray.envs.levels import levels_of
from polyray.envs.missions import VOCABULARY
from polyray.errors import InputError
from polyray.lookup import lookup, suggestion
from polyray.progress import bars
from polyray.reports.console import print_scores
from polyray.rl.evaluation import AgentEvaluationOptions, evaluate
from polyray.rl.policy_folder import AGENT, load_policy
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.skills.card import CARD
from polyray.skills.inventory import InventoryFolder, load_inventory
from polyray.skills.skill import load_card
from polyray.tasks import load_suite, read_all
from polyray.tracking.options import TrackingOptions
from polyray.training.data import mean_score
from polyray.training.model import check_skills_dtype
from polyray.training.scoring import ScoringRecipe, Share, score_share
from polyray.training.skill_source import SkillSource, refuse_base

Scores = dict[str, dict[str, float]]  # of each task {metric: value}, its own metric first
Scored = tuple[Scores, dict[str, int]]  # and counts for the whole run


class Config(ScoringRecipe):
    """Score the skills of a run on the tasks that they were trained on, or one skill on any tasks with its head."""

    agent: AgentEvaluationOptions = AgentEvaluationOptions()
    """Episodes that score an agent, where the skills are an agent's; its tasks are levels."""
    tracking: TrackingOptions = TrackingOptions()
    """Experiment tracker that is told how it goes."""

    def unread(self) -> Mapping[str, str]:
        """Fields that the kind of backbone under the skills leaves unread."""
        try:
            kind = _kind(Path(self.skills)) if self.skills else ""
        except InputError:  # the job says what is wrong with the folder
            kind = ""
        scorer = SCORERS.get(kind)
        return {} if scorer is None else dict.fromkeys(scorer.unread, f"{self.skills} holds skills of {scorer.owner}")


def run(config: Config, run: Run) -> Result:
    """Score with the scorer for the kind of backbone that the skills belong to; see `Config`."""
    kind = check(config)
    scores, counts = lookup(SCORERS, kind, "kind of backbone").score(config, run)
    metrics = {"mean": mean_score(scores), "tasks": scores, **counts}
    print_scores(run.console, metrics)
    return Result(metrics=metrics)


def check(config: Config) -> str:
    """The kind of backbone under the skills that are scored.

    Raises:
        InputError: there are none.
    """
    if not config.skills:
        raise InputError(
            "evaluate needs skills=FOLDER, the skills folder of a finished polytropon or babyai run, or one skill."
        )
    return _kind(Path(config.skills))


def _kind(path: Path) -> str:
    card = load_card(path) if (path / CARD).exists() else load_inventory(path).card
    return card.backbone.kind


def _score_language(config: Config, run: Run) -> Scored:
    """Scores of a language model on Ray, several tasks at a time; predictions are written to predictions/TASK.jsonl."""
    names = _task_names(config)
    recipe = ScoringRecipe.model_validate(config.model_dump(include=set(ScoringRecipe.model_fields)))
    size = config.score.mixed
    shares = [
        Share(recipe=recipe, out=run.out, tasks=tuple(names[start : start + size]))
        for start in range(0, len(names), size)
    ]
    scores: Scores = {}
    too_long = 0
    run.cluster.start()
    with bars(run.console) as display:
        line = display.add_task("scoring", total=len(names), note="")
        for index, outcome in run_pieces(score_share, shares, run, gpus=config.score.gpus):
            scores |= outcome["scores"]
            too_long += outcome["too_long"]
            display.update(line, advance=len(shares[index].tasks))
    return {name: scores[name] for name in names}, {"too_long": too_long}


def _task_names(config: Config) -> list[str]:
    """The tasks to score, their data read and checked.

    Raises:
        InputError: a task is not one that the skills were trained on, or the suite lacks it.
    """
    suite, path = load_suite(config.tasks), Path(config.skills)
    if (path / CARD).exists():
        SkillSource.of(path, config.backbone_dtype, config.base)
        names = list(config.score.tasks or suite.tasks)
    else:
        folder = load_inventory(path)
        refuse_base(path, config.base)
        check_skills_dtype(folder, config.backbone_dtype)
        trained = [name for name in folder.card.tasks if name in suite.tasks]
        if not trained:
            raise _untrained(folder, f"None of the suite {suite.name} is")
        names = _chosen(config, folder, trained)
    read_all(suite, names, (config.score.split,))
    return names


def _score_agent(config: Config, run: Run) -> Scored:
    """Scores of an agent on start states that no training sees; films are written to videos/."""
    folder = load_inventory(Path(config.skills))
    levels = levels_of(None, _chosen(config, folder, folder.card.tasks))
    seed = load_card(folder.skill_folders[0]).seed
    return evaluate(load_policy(folder.path, VOCABULARY), levels, config.agent, seed, run), {}


def _chosen(config: Config, folder: InventoryFolder, trained: list[str] | tuple[str, ...]) -> list[str]:
    """The tasks of `score.tasks`, or all trained ones.

    Raises:
        InputError: a task is not among the trained ones.
    """
    unknown = [name for name in config.score.tasks if name not in trained]
    if unknown:
        raise _untrained(folder, f"score.tasks: {unknown[0]!r:.80} is not", unknown[0])
    return list(config.score.tasks or trained)


def _untrained(folder: InventoryFolder, beginning: str, name: str = "") -> InputError:
    return InputError(f"{beginning} a task that {folder.path} was trained on. {suggestion(name, folder.card.tasks)}")


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A way to score skills that sit on some kind of backbone.

    Attributes:
        owner: what such a backbone is.
        unread: fields of the config that it does not read.
        score: called as score(config, run).
    """

    owner: str
    unread: tuple[str, ...]
    score: Callable[[Config, Run], Scored]


LANGUAGE = Scorer(owner="a language model", unread=("agent",), score=_score_language)
AGENTS = Scorer(
    owner="an agent", score=_score_agent,
    unread=(
        "suite", "tasks", "base", "backbone_dtype", "score.split", "score.mixed", "score.gpus", "text", "evaluation",
    ),
)  # fmt: skip
SCORERS: Mapping[str, Scorer] = {**dict.fromkeys(get_args(Kind), LANGUAGE), AGENT: AGENTS}  # by the kind on cards


JOB = Job(about="score trained skills on the tasks that they know", Config=Config, run=run, check=check)
