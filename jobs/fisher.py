"""Fisher information of a network's parameters, for merges that weight by it."""

from pathlib import Path

from polyray.backbones.skeleton import load_skeleton
from polyray.cluster.tasks import run_pieces
from polyray.errors import InputError
from polyray.objectives import OBJECTIVES, one_objective
from polyray.progress import bars
from polyray.reports.console import print_note
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.skills.skill import load_card
from polyray.tasks import Suite, load_suite, read_all
from polyray.training.data import partition_tasks
from polyray.training.fisher_pass import FISHER, FisherPiece, FisherRecipe, add_up, chosen_examples, sum_piece


class Config(FisherRecipe):
    """Sum the squared gradients of each example for every parameter of a network."""


def run(config: Config, run: Run) -> Result:
    """Sum piece by piece as Ray tasks, add the pieces up in their order, and write the mean; see `Config`."""
    suite = check(config)
    recipe = FisherRecipe.model_validate(config.model_dump(include=set(FisherRecipe.model_fields)))
    pieces = [FisherPiece(recipe=recipe, index=index, out=run.out) for index in range(recipe.pieces)]
    run.cluster.start()
    counts, backbone = {"n_examples": 0, "too_long": 0}, dict[str, str]()
    with bars(run.console) as display:
        line = display.add_task("summing", total=len(pieces), note="")
        for _, outcome in run_pieces(sum_piece, pieces, run):
            counts = {name: count + outcome[name] for name, count in counts.items()}
            backbone = outcome["backbone"]
            display.update(line, advance=1)
    add_up(recipe, run.out, counts["n_examples"], suite, backbone)
    print_note(run.console, f"The Fisher information is in {run.out / FISHER}.")
    return Result(metrics=dict(counts))


def check(config: FisherRecipe) -> Suite:
    """Read all data, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    suite = load_suite(config.tasks)
    tasks = partition_tasks(suite, "train")
    one_objective([suite.tasks[task] for task in tasks])
    objective = OBJECTIVES[suite.tasks[tasks[0]].objective]
    if any(objective.head_key(suite.tasks[task]) for task in tasks):
        raise InputError(
            f"The objective {objective.name} needs a head, which a pretrained network lacks: choose tasks whose "
            "answers the network writes or chooses itself."
        )
    read_all(suite, tasks, (config.split,))
    n_examples = len(chosen_examples(config, suite))
    if config.pieces > n_examples:
        raise InputError(f"pieces={config.pieces}: there are {n_examples} examples; set it to that at most.")
    load_skeleton(config.backbone)
    for folder in config.base:
        load_card(Path(folder))
    return suite


JOB = Job(
    about="Fisher information of a network's parameters, for merges", Config=Config, run=run, goals=(), check=check
)
