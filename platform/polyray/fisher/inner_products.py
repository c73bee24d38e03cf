"""Inner products of the inputs of linear layers, by which RegMean weights."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.layers import is_plain_linear, transposed


class InnerProducts:
    """Sums over examples of X^T X for the inputs X [tokens, in] of each linear layer (Jin et al. 2023, RegMean).

    Examples are computed one at a time, so that no padding is among the tokens.

    Attributes:
        sums: [in, in] by the names of the layers' weights, in fp32.
        n_squares: number of examples.
    """

    def __init__(self, network: nn.Module, names: Callable[[str], bool] = bool) -> None:
        """
        Args:
            names: whether to look at the weight of this name; all of them unless given. Layers that store their weight
                transposed, as GPT-2's do, are left out.

        Raises:
            InputError: no linear layer is left.
        """
        self._layers = {
            f"{name}.weight": layer
            for name, layer in network.named_modules()
            if is_plain_linear(layer) and not transposed(layer) and names(f"{name}.weight")
        }
        if not self._layers:
            raise InputError(
                "The network has no linear layer of those that are asked for: there are no inner products."
            )
        self.sums: dict[str, Tensor] = {}
        self.n_squares = 0

    def add(self, losses: Callable[[], Tensor], size: int) -> None:
        """Add the products of one example.

        Args:
            losses: computes the example's loss from the network.
            size: 1, the number of examples.
        """
        assert size == 1  # with more of them padding would count
        with ExitStack() as stack, torch.no_grad():
            for name, layer in self._layers.items():
                stack.callback(layer.register_forward_pre_hook(self._adding(name)).remove)
            losses()
        self.n_squares += 1

    def _adding(self, name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        """The hook of the layer whose weight has this name."""

        def add(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            x = inputs[0].flatten(0, -2).float()  # [tokens, in]
            if name not in self.sums:
                self.sums[name] = x.new_zeros(x.shape[1], x.shape[1])
            self.sums[name].addmm_(x.T, x)

        return add
