"""The state from which a tuning starts: the network, fresh heads, batches, and all that is drawn."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from polyray.training.batches import BatchSource
from polyray.training.model import Modular
from polyray.training.optimizers import AdamOptions
from polyray.training.worker import Worker


@dataclass(eq=False, kw_only=True)
class TuningStart:
    """Model, data and options that a tuning begins with.

    Attributes:
        model: the backbone with fresh heads and no modules on it; skills beneath the new one are in its parameters.
        options: learning rate and its schedule.
        batches: of this worker; every phase begins with the first one.
        generator: for what is drawn, the same on all workers.
        worker: this member of the group.
        memory: what `once` remembers, as it stands in checkpoints.
    """

    model: Modular
    options: AdamOptions
    batches: BatchSource
    generator: torch.Generator
    worker: Worker
    memory: dict[str, Any] = field(default_factory=dict)
    _origin: dict[str, Tensor] = field(default_factory=dict)
    _heads: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._heads = {name: tensor.clone() for name, tensor in self.model.heads_state().items()}

    @property
    def network(self) -> nn.Module:
        """The backbone's network."""
        return self.model.network

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """The value that was computed under this name, in this start of the run or an earlier one.

        A value is made of tensors, numbers, texts, lists and dicts.
        """
        if name not in self.memory:
            self.memory[name] = compute()
        return self.memory[name]

    def origin(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Copies of parameters as they are at the start; the first call for a name comes before it is trained."""
        for name in names:
            if name not in self._origin:
                self._origin[name] = self.network.get_parameter(name).detach().clone()
        return {name: self._origin[name] for name in names}

    def reset(self, *, heads: bool = True) -> None:
        """Give the network, as far as `origin` was asked for it, and `heads` the values from the start."""
        with torch.no_grad():
            for name, tensor in self._origin.items():
                self.network.get_parameter(name).copy_(tensor)
        if heads:
            self.model.load_heads_state(self._heads)

    def forget(self) -> None:
        """Let go of the copies of parameters, once the network is reset and no phase changes them as a whole."""
        self._origin.clear()

    def heads_at_start(self) -> list[Tensor]:
        """The heads' parameters as they were, in the order of `self.model.heads.parameters()`."""
        names = [f"{key}/{name}" for key, head in self.model.heads.items() for name, _ in head.named_parameters()]
        device = next(self.network.parameters()).device
        return [self._heads[name].to(device) for name in names]
