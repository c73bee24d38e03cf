"""The interface of a way to train one skill of a whole network, such as lottery-ticket sparse fine-tuning.

To add one: a class as `Tuning` describes it in a file of this folder, and a line in `polyray.training.tuning.table`.
Nothing else: the job `ltsft` reads its options as `method.*`, trains its phases one after the other, each with its own
optimiser, schedule, checkpoints and choice among validated states, goes on exactly after a kill, averages gradients
over workers, scores the skill and writes it with its card. Where entries are selected before anything is trained,
`Masked` in `drawn.py` has all but the selection:

    class ConnectionSensitivity(Masked):
        about = "the K entries whose removal would change the loss most, from one pass of gradients"
        Options = ConnectionOptions                      # fields of `method.*`; usually a subclass of MaskOptions

        def entries(self, start): ...                    # start.batches, start.model, start.worker, start.generator
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from polyray.config import Section
from polyray.skills.skill import Skill
from polyray.training.model import Modular
from polyray.training.tuning.start import TuningStart

FULL, SPARSE, ONLY = "full", "sparse", "tuning"  # names of phases; ONLY where there is one and it is not sparse


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Name of a phase, of small letters, digits and underscores, and its number of updates."""

    name: str
    steps: int


class Phase(Protocol):
    """A stretch of training with an optimiser of its own, whose parameters are all that it changes.

    Attributes:
        model: computes losses and predictions in this phase.
        adam: optimiser of the trained parameters, fresh.
    """

    @property
    def model(self) -> Modular:
        """The model that is trained."""

    @property
    def adam(self) -> torch.optim.Optimizer:
        """The optimiser."""

    def installed(self) -> AbstractContextManager[object]:
        """A block in which gradients are asked of what is trained, and of nothing else."""

    def before_step(self) -> None:
        """Act between the gradients, which are averaged over workers, and the update: add regularisation."""

    def write(self) -> None:
        """Bring the trained parameters' values, which were restored, into the network."""

    def state(self) -> dict[str, Any]:
        """State beside the trained parameters and the optimiser's, for `load_state`; the same on all workers."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned, before parameters and optimiser are restored."""


class Tuning(Protocol):
    """A way to train one skill of a whole network; an entry of TUNINGS.

    Attributes:
        about: one line.
        Options: the fields of `method.*` that it reads.
        changes_weights: whether its skill changes parameters of the backbone, so that skills can be merged.
    """

    about: ClassVar[str]
    Options: ClassVar[type[Section]]
    changes_weights: ClassVar[bool]

    def __init__(self, options: Any, steps: int) -> None:
        """A tuning by options of its own class, whose phases have `steps` updates unless its options say else."""

    def check(self, network: nn.Module, family: str) -> None:
        """Refuse options that do not fit a network; its tensors have names and shapes, and no values.

        Args:
            family: the architecture (transformers' model_type), which names its sites.

        Raises:
            InputError: they do not fit.
        """

    def plan(self) -> Sequence[Stage]:
        """All phases, in order; known before anything is loaded."""

    def phases(self, start: TuningStart) -> Iterator[Phase]:
        """The phases of the plan, one after the other; the caller trains each before it asks for the next.

        A run that goes on skips phases that have ended: their network is not there. So whatever is computed from it
        between two phases (a selection) goes through `start.once`, which remembers it in checkpoints, and the next
        phase begins from `start.reset()` and what was remembered.

        Raises:
            InputError: the options do not fit the network.
        """

    def skill(self, start: TuningStart) -> Skill:
        """The trained skill without provenance, once all phases have ended.

        Afterwards the last phase's model predicts as the saved skill will: the network has its values from the start
        with what is saved added to it (`skill_of_delta`), or modules stay on it.
        """
