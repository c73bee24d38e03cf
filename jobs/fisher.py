"""Fisher information of a network's parameters, for merges that weight by it."""

from pathlib import Path

from polyray.backbones.skeleton import load_skeleton
from polyray.cluster.tasks import run_pieces
from polyray.errors import InputError
from polyray.objectives.sampling import SAMPLINGS
from polyray.progress import bars
from polyray.reports.console import print_note
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.skills.skill import load_card
from polyray.tasks import Suite, load_suite, read_all
from polyray.training.data import partition_tasks
from polyray.training.fisher.pieces import FISHER, FisherPiece, add_up, sum_piece
from polyray.training.fisher.recipe import FisherRecipe, chosen_examples
from polyray.training.held_out import refuse_heads


class Config(FisherRecipe):
    """Sum the squared gradients of each example for every parameter of a network, or for every number of a skill."""


def run(config: Config, run: Run) -> Result:
    """Sum piece by piece as Ray tasks, add the pieces up in their order, and write the mean; see `Config`."""
    suite = check(config)
    recipe = FisherRecipe.model_validate(config.model_dump(include=set(FisherRecipe.model_fields)))
    pieces = [FisherPiece(recipe=recipe, index=index, out=run.out) for index in range(recipe.pieces)]
    run.cluster.start()
    counts, backbone = dict.fromkeys(("n_examples", "n_squares", "too_long"), 0), dict[str, str]()
    with bars(run.console) as display:
        line = display.add_task("summing", total=len(pieces), note="")
        for _, outcome in run_pieces(sum_piece, pieces, run):
            counts = {name: count + outcome[name] for name, count in counts.items()}
            backbone = outcome["backbone"]
            display.update(line, advance=1)
    add_up(recipe, run.out, counts, suite, backbone)
    print_note(run.console, f"The Fisher information is in {run.out / FISHER}.")
    return Result(metrics={name: counts[name] for name in ("n_examples", "too_long")})


def check(config: FisherRecipe) -> Suite:
    """Read all data, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    suite = load_suite(config.tasks)
    tasks = partition_tasks(suite, "train")
    objective = refuse_heads([suite.tasks[task] for task in tasks])
    read_all(suite, tasks, (config.split,))
    _check_labels(config, objective)
    n_units = -(-len(chosen_examples(config, suite)) // config.stride)
    if config.pieces > n_units:
        units = "examples" if config.stride == 1 else f"batches of {config.stride} examples"
        raise InputError(f"pieces={config.pieces}: there are {n_units} {units}; set it to that at most.")
    for name in filter(None, (config.backbone, config.start)):
        load_skeleton(name)
    for folder in filter(None, (*config.base, config.skill)):
        load_card(Path(folder))
    return suite


def _check_labels(config: FisherRecipe, objective: str) -> None:
    """Refuse labels that cannot be drawn.

    Raises:
        InputError: the objective draws none, or scale=reference is set and the network writes no tokens.
    """
    if config.labels == "gold":
        return
    if objective not in SAMPLINGS:
        raise InputError(
            f"labels=sampled: labels of the objective {objective} cannot be drawn, only of {', '.join(SAMPLINGS)}."
        )
    if config.scale == "reference" and load_skeleton(config.backbone).kind == "encoder":
        raise InputError(f"scale=reference needs a network that writes; {config.backbone} is an encoder.")


JOB = Job(
    about="Fisher information of a network's parameters, for merges", Config=Config, run=run, goals=(), check=check
)
