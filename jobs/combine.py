"""Ensembles, merges and routing of the same skills, compared by score and cost."""

from typing import Any

import numpy as np

from polyray.cluster.tasks import run_pieces
from polyray.progress import bars
from polyray.reports.console import print_table
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.tasks import Suite, load_suite, read_all
from polyray.training.combining.pieces import BACKBONE, CHOSEN_ON, CombinedPiece, work_on
from polyray.training.combining.plan import Members, cluster_pieces, first_pieces, members_of
from polyray.training.combining.recipe import CombineRecipe
from polyray.training.combining.systems import Floats
from polyray.training.combining.table import Comparison, all_groups, centroids_of


class Config(CombineRecipe):
    """Answer with several skills of one backbone in all ways that there are, and compare scores and costs."""


def run(config: Config, run: Run) -> Result:
    """Score every candidate answer by each skill and each merge as Ray tasks, then compare; see `Config`."""
    suite, members = check(config)
    recipe = CombineRecipe.model_validate(config.model_dump(include=set(CombineRecipe.model_fields)))
    run.cluster.start()
    first = first_pieces(recipe, members, run.out)
    too_long = _work(first, run)
    embeddings = _arrays(first[0])
    groups = {group for of_n in all_groups(recipe, centroids_of(members, embeddings)).values() for group in of_n}
    second = cluster_pieces(recipe, members, run.out, sorted(groups))
    too_long += _work(second, run)
    scores = {piece.name: _arrays(piece) for piece in (*first, *second) if piece.name != BACKBONE}
    metrics = Comparison.of(recipe, suite, members, scores, embeddings).metrics()
    _print(run, metrics)
    return Result(metrics={**metrics, "too_long": too_long})


def check(config: CombineRecipe) -> tuple[Suite, Members]:
    """The suite and the skills, all cards and data read.

    Raises:
        InputError: something in the config, a card or the data is wrong.
    """
    suite = load_suite(config.tasks)
    members = members_of(config, suite)
    read_all(suite, members.tasks, tuple(dict.fromkeys(("train", CHOSEN_ON, config.split))))
    return suite, members


def _work(pieces: list[CombinedPiece], run: Run) -> int:
    """Do the pieces: how many texts were cut."""
    too_long = 0
    with bars(run.console) as display:
        line = display.add_task("scoring", total=len(pieces), note="")
        for _, outcome in run_pieces(work_on, pieces, run):
            too_long += outcome["too_long"]
            display.update(line, advance=1)
    return too_long


def _arrays(piece: CombinedPiece) -> dict[str, Floats]:
    return {name: np.asarray(tensor, dtype=np.float64) for name, tensor in piece.tensors().items()}


def _print(run: Run, metrics: dict[str, Any]) -> None:
    rows = [
        [name, f"{100 * row['mean']:.1f}", str(row["passes"]), str(row["in_memory"])]
        for name, row in metrics["systems"].items()
    ]
    header = ["system", "mean score", "passes an example", "in memory"]
    print_table(run.console, "Combined skills", header, rows[1:], rows[0], texts=("system",))


JOB = Job(
    about="ensembles, merges and routing of the same skills, by score and cost", Config=Config, run=run, check=check
)
