"""Loss of a network on held-out examples of a suite, without training it."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from polyray.backbones import load_backbone
from polyray.errors import InputError
from polyray.objectives import OBJECTIVES, TextOptions, one_objective
from polyray.tasks import Suite, Task, load_suite, read_all
from polyray.training.beneath import put_beneath
from polyray.training.data import encoded, first_examples, partition_tasks
from polyray.training.evaluation import mean_losses
from polyray.training.model import bare
from polyray.training.recipe import SuiteConfig
from polyray.training.worker import own_device


class HeldOutOptions(SuiteConfig):
    """Examples that show what a network predicts."""

    split: Literal["none", "train", "dev", "test"] = "none"
    """Examples of the training tasks that are looked at; none: nothing is."""
    max_examples: int = Field(0, ge=0)
    """Examples of each task at most, the first ones; 0: all."""
    batch: int = Field(8, ge=1)
    """Examples at once."""
    text: TextOptions = TextOptions()
    """Lengths of texts."""


def check_held_out(options: HeldOutOptions) -> Suite | None:
    """Read the examples, so that a mistake shows before anything starts; None: nothing is looked at.

    Raises:
        InputError: a file is malformed, or the tasks need heads that a pretrained network lacks.
    """
    if options.split == "none":
        return None
    suite = load_suite(options.tasks)
    names = partition_tasks(suite, "train")
    refuse_heads([suite.tasks[name] for name in names])
    read_all(suite, names, (options.split,))
    return suite


def refuse_heads(tasks: Sequence[Task]) -> str:
    """Refuse tasks whose objective needs a head: the name of the one objective that they have.

    Raises:
        InputError: it needs one, or they have different ones.
    """
    one_objective(tasks)
    objective = OBJECTIVES[tasks[0].objective]
    if any(objective.head_key(task) for task in tasks):
        raise InputError(
            f"The objective {objective.name} needs a head, which a pretrained network lacks: choose tasks whose "
            "answers the network writes or chooses itself."
        )
    return objective.name


def held_out_losses(options: HeldOutOptions, suite: Suite, backbone: str, skills: Sequence[str] = ()) -> dict[str, Any]:
    """Mean loss of a token (word, answer) in each task, `losses`, and the mean over tasks, `loss`.

    Args:
        backbone: folder or name of the network.
        skills: folders of skills that are in force on it.

    Raises:
        InputError: the network or a skill cannot be loaded, or a text is too long.
    """
    names = partition_tasks(suite, "train")
    loaded = load_backbone(backbone)
    examples = [
        x for name in names for x in first_examples(suite.tasks[name], options.split, None, options.max_examples)
    ]
    data = encoded(loaded, suite, examples, options.text)
    put_beneath(loaded, skills)
    losses = mean_losses(bare(loaded, names).to(own_device()).eval(), data, options.batch)
    return {"loss": sum(losses.values()) / len(losses), "losses": losses}
