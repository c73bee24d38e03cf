"""The beginning of a tuning: skills beneath, heads, the examples of its end."""

from pathlib import Path

import torch

from polyray.backbones import Backbone
from polyray.errors import InputError
from polyray.objectives import heads_for
from polyray.objectives.masked_lm import MaskedLM
from polyray.skills.skill import load_skill
from polyray.tasks import Suite
from polyray.training.batches import BatchSource
from polyray.training.beneath import put_beneath
from polyray.training.data import Encoded, encoded_once, first_examples, partition_tasks
from polyray.training.model import Modular, bare
from polyray.training.tuning.recipe import TuningRecipe
from polyray.training.tuning.start import TuningStart
from polyray.training.worker import Worker


def tests_of(recipe: TuningRecipe, suite: Suite, backbone: Backbone) -> Encoded:
    """The test examples of the training tasks; call it before skills are on `backbone`."""
    tasks, limit = partition_tasks(suite, "train"), recipe.evaluation.max_examples
    examples = [example for task in tasks for example in first_examples(suite.tasks[task], "test", None, limit)]
    return encoded_once(backbone, suite, examples, recipe.text)


def start_of(recipe: TuningRecipe, suite: Suite, backbone: Backbone, data: BatchSource, worker: Worker) -> TuningStart:
    """The backbone with the skills that lie beneath, and with heads.

    Raises:
        InputError: a skill that the recipe names is damaged or does not fit.
    """
    tasks = partition_tasks(suite, "train")
    generator = torch.Generator().manual_seed(recipe.training.seed)
    heads = heads_for(backbone, [suite.tasks[task] for task in tasks], generator)
    if recipe.freeze_decoder and MaskedLM.name in heads:
        backbone.untie()
    put_beneath(backbone, recipe.base)
    model = bare(backbone, tasks, heads)
    if recipe.heads:
        _load_heads(model, Path(recipe.heads))
    if recipe.training.checkpointing:
        backbone.model.activation_checkpointing_enable({"use_reentrant": False})
    model.to(worker.device)
    return TuningStart(model=model, options=recipe.training, batches=data, generator=generator, worker=worker)


def _load_heads(model: Modular, folder: Path) -> None:
    """Give the heads of `model` the values that they have in a skill."""
    state = load_skill(folder).heads
    keys = {name.partition("/")[0] for name in state}
    lost = [key for key in model.heads if key not in keys]
    if lost:
        raise InputError(
            f"heads={folder} lacks the head {lost[0]!r}, which the tasks need. Its heads: "
            f"{', '.join(sorted(keys)) or 'none'}."
        )
    model.load_heads_state({name: tensor for name, tensor in state.items() if name.partition("/")[0] in model.heads})
