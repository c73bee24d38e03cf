"""Diagonal Fisher information of the numbers that a skill is made of."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.fisher.estimate import DiagonalFisher
from polyray.modules.attach import Inventory
from polyray.modules.gradients import asking
from polyray.modules.site import mixing
from polyray.sparsity.eligible import weights


class ModulesFisher:
    """Sums of squared gradients of a skill's modules, of any kind.

    Every example of a batch uses a copy of the skill of its own, whose gradient is then that of the example alone.

    Attributes:
        sums: by the names of the skill's tensors, in fp32.
        n_squares: number of examples.
    """

    def __init__(self, network: nn.Module, copies: Inventory) -> None:
        """
        Args:
            copies: an inventory of equal skills on `network`, as many as examples of a batch at most.
        """
        self.network, self.copies = network, copies.requires_grad_(True)
        gradients = self._gradients(torch.zeros_like)
        self.sums = {name: tensor[:, 0].float().clone() for name, tensor in gradients.items()}
        self.n_squares = 0

    def add(self, losses: Callable[[], Tensor], size: int) -> None:
        """Add the squared gradients of the losses [size] of a batch, which are computed from the network.

        Raises:
            InputError: the losses have another shape.
        """
        device = next(self.copies.parameters()).device
        with asking(self.network, ()), mixing(self.copies, torch.eye(size, self.copies.n_skills, device=device)):
            values = losses()
            if values.shape != (size,):
                raise InputError(f"Fisher information needs one loss an example, [{size}]; found {list(values.shape)}.")
            values.sum().backward()
        for name, gradient in self._gradients(lambda p: torch.zeros_like(p) if p.grad is None else p.grad).items():
            self.sums[name] += gradient.float().square().sum(1)
        self.copies.zero_grad(set_to_none=True)
        self.n_squares += size

    def _gradients(self, of: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """A tensor [heads, copies, *shape] for each tensor of the skill, out of what `of` gives for parameters."""
        tensors = [
            {name: of(parameter) for name, parameter in stack.named_parameters()} for stack in self.copies.stacks
        ]
        return {
            f"{site}/{name}": tensor[index]
            for site, (stack, index) in self.copies.positions.items()
            for name, tensor in tensors[stack].items()
        }


class EntriesFisher:
    """Sums of squared gradients of some entries of a network's parameters, those that a sparse skill changes.

    Attributes:
        n_squares: number of examples.
    """

    def __init__(self, network: nn.Module, supports: Mapping[str, Tensor]) -> None:
        """
        Args:
            supports: by parameter the indices of the entries in the flattened parameter.

        Raises:
            InputError: a parameter is quantised.
        """
        first_names = {alias: aliases[0] for aliases in weights(network) for alias in aliases}
        self._supports = {name: (first_names[name], support.long()) for name, support in supports.items()}
        chosen = {first for first, _ in self._supports.values()}
        self._whole = DiagonalFisher(network, lambda name: name in chosen)

    def add(self, losses: Callable[[], Tensor], size: int) -> None:
        """As `DiagonalFisher.add`."""
        self._whole.add(losses, size)

    @property
    def n_squares(self) -> int:
        """Number of examples."""
        return self._whole.n_squares

    @property
    def sums(self) -> dict[str, Tensor]:
        """The sums [k] at the entries, as PARAMETER/values."""
        whole = self._whole.sums
        return {f"{name}/values": whole[first].view(-1)[at] for name, (first, at) in self._supports.items()}
