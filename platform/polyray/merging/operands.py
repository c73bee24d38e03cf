"""Operands of a merge method: one tensor of each model that takes part."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from polyray.errors import InputError


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """One tensor of a model that takes part in a merge.

    tensor [*shape], in fp32 or fp64. weight: its coefficient, negative for a model whose change is to be undone.
    density: share of its change's entries that a method which thins changes out keeps. fisher [*shape]: the diagonal
    of its Fisher information. inner_products [in, in]: of the inputs of the linear layer whose weight [out, in] it is.
    """

    tensor: Tensor
    weight: float = 1.0
    density: float = 1.0
    fisher: Tensor | None = None
    inner_products: Tensor | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Operands:
    """One tensor of everything that is merged, all of one shape.

    base: of the model that the parts were fine-tuned from, for methods that need it. generator: for methods that draw.
    """

    parts: Sequence[Part]
    base: Part | None = None
    generator: torch.Generator | None = None

    @property
    def start(self) -> Tensor:
        """The base's tensor.

        Raises:
            InputError: there is no base.
        """
        if self.base is None:
            raise no_base()
        return self.base.tensor

    @property
    def tensors(self) -> Tensor:
        """The parts' tensors [n, *shape]."""
        return torch.stack([part.tensor for part in self.parts])

    @property
    def weights(self) -> Tensor:
        """The parts' weights, [n, 1, ...] with as many dimensions as `tensors`."""
        first = self.parts[0].tensor
        return torch.tensor([part.weight for part in self.parts], dtype=first.dtype, device=first.device).view(
            -1, *[1] * first.dim()
        )

    def present(self) -> "Operands":
        """The operands without parts of the weight 0."""
        return replace(self, parts=[part for part in self.parts if part.weight != 0])

    def changes(self) -> Tensor:
        """The parts' task vectors [n, *shape], what fine-tuning added to the base (Ilharco et al. 2023).

        Raises:
            InputError: there is no base.
        """
        return self.tensors - self.start


def no_base() -> InputError:
    """The error of a method that needs a base where there is none."""
    return InputError("This merge method needs a base: the model that the parts were fine-tuned from.")
