"""The state of a training that ends in its skills: the last one, or the best one by validation score."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from polyray.errors import InputError

Keep = Literal["last", "best"]


def check_keep(keep: Keep, every: int) -> None:
    """Refuse to choose by a score that nobody computes.

    Args:
        keep: `training.keep`.
        every: `evaluation.every`.

    Raises:
        InputError: as said.
    """
    if keep == "best" and not every:
        raise InputError(
            "training.keep=best keeps the state with the highest validation score, and evaluation.every=0 computes "
            "none: set evaluation.every above 0, or training.keep=last."
        )


class Selection:
    """The choice among the states of a training that were validated.

    Attributes:
        keep: last, or best: the highest score, the earliest of those with the same one.
        figures: score, loss where there is one, and step of the chosen state; empty before the first validation.
    """

    def __init__(self, keep: Keep) -> None:
        self.keep = keep
        self.figures: dict[str, Any] = {}
        self._tensors: dict[str, Tensor] = {}

    def consider(self, step: int, validation: Mapping[str, Any], model: nn.Module) -> None:
        """Choose the state that `model` has after `step` steps, if it is the one to keep so far.

        Args:
            validation: its figures, of which score and loss are read.
        """
        if self.keep == "best" and self.figures and not validation["score"] > self.figures["score"]:
            return
        self.figures = {name: validation[name] for name in ("score", "loss") if name in validation} | {"step": step}
        if self.keep == "best":
            self._tensors = {name: x.detach().cpu().clone() for name, x in changing(model).items()}

    def install(self, model: nn.Module) -> None:
        """Give `model` the chosen state; under `last` it has it."""
        state = changing(model)
        with torch.no_grad():
            for name, tensor in self._tensors.items():
                state[name].copy_(tensor)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs, for `polyray.runs.state`."""
        return {"figures": dict(self.figures), "tensors": dict(self._tensors)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.figures, self._tensors = dict(state["figures"]), dict(state["tensors"])


def changing(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of `model` that training may change: its buffers, and parameters that are not frozen."""
    frozen = {name for name, p in model.named_parameters(remove_duplicate=False) if not p.requires_grad}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}
