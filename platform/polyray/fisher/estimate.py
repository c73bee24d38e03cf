"""Exact diagonal Fisher information in batches, within one backward pass through activations alone.

Weights ask for no gradients, so that a pass computes those of activations only. At each layer the gradient of every
example is computed from the layer's input and its output's gradient, squared, and added up while it is in the cache:
no more work than the gradient of the batch, which a training step computes. The square of the batch's gradient would be
something else: it has the products of different examples' gradients in it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.fisher.relative_bias import attentions, by_example
from polyray.fisher.rules import Use, add_gradient, add_squares
from polyray.modules.gradients import asking


@dataclass(eq=False, kw_only=True)
class Calls:
    """Calls of layers in one forward pass.

    open: whether the forward pass still runs. expected: by parameter, calls whose output's gradient is to come.
    uses: of parameters with more than one call, whose gradients are added up before they are squared, each with the
    name that the parameter has in the layer.
    """

    size: int
    open: bool = True
    expected: Counter[str] = field(default_factory=Counter)
    uses: dict[str, list[tuple[str, Use]]] = field(default_factory=dict)


class DiagonalFisher:
    """Sums of squared gradients of the parameters of a network, over the examples that were added.

    Attributes:
        sums: by parameter, in fp32; a weight under several names has the first of them.
        n_squares: number of examples.
    """

    def __init__(self, network: nn.Module, names: Callable[[str], bool] = bool) -> None:
        """
        Args:
            names: whether to look at the parameter of this name; all of them unless given.

        Raises:
            InputError: there is no such parameter, or one is quantised.
        """
        self.network = network
        self.parameters = asked_parameters(network, names)
        self.sums = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in self.parameters.items()}
        self.n_squares = 0
        self._first_names = {id(p): name for name, p in self.parameters.items()}
        self._layers = self._owners()
        self._others = self._without_layer()
        self._attentions = attentions(network)
        self._calls: Calls | None = None

    def add(self, losses: Callable[[], Tensor], size: int) -> None:
        """Add the squared gradients of the losses of a batch.

        Args:
            losses: computes the losses [size], negative log-likelihoods of the examples, from the network; examples are
                the first dimension of every layer's input, and none depends on another.
            size: number of examples.

        Raises:
            InputError: the losses have another shape, or a layer's input has no dimension of examples.
        """
        with self._installed(size) as calls:
            values = losses()
            calls.open = False
            if values.shape != (size,):
                raise InputError(f"Fisher information needs one loss an example, [{size}]; found {list(values.shape)}.")
            self._add_others(values)
            self._calls = calls
            values.sum().backward()
            self._calls = None
        self._add_shared(calls)
        self.n_squares += size

    def mean(self) -> dict[str, Tensor]:
        """The mean over examples: the diagonal of the Fisher information, by parameter."""
        return {name: total / max(self.n_squares, 1) for name, total in self.sums.items()}

    def _owners(self) -> dict[nn.Module, dict[str, str]]:
        """Layers without layers inside, each with its parameters' names in it and in the network."""
        owners: dict[nn.Module, dict[str, str]] = {}
        for module in self.network.modules():
            parameters = module.named_parameters(recurse=False)
            names = {name: self._first_names[id(p)] for name, p in parameters if id(p) in self._first_names}
            if names and not list(module.children()):
                owners[module] = names
        return owners

    def _without_layer(self) -> dict[str, nn.Parameter]:
        """Parameters that a module with modules inside has itself; a backward pass an example gives their gradients."""
        in_layers = {name for names in self._layers.values() for name in names.values()}
        in_modules = {
            self._first_names[id(p)]
            for module in self.network.modules()
            if list(module.children())
            for p in module.parameters(recurse=False)
            if id(p) in self._first_names
        }
        return {name: p for name, p in self.parameters.items() if name in in_modules or name not in in_layers}

    @contextmanager
    def _installed(self, size: int) -> Iterator[Calls]:
        """Hooks on the layers, and gradients asked for where a pass an example gives them alone."""
        calls = Calls(size=size)
        with ExitStack() as stack:
            stack.callback(self._forget)
            stack.enter_context(asking(self.network, self._others.values()))
            for layer, layer_names in self._layers.items():
                names = {name: full for name, full in layer_names.items() if full not in self._others}
                if names:
                    self._hook(stack, layer, names, calls)
            yield calls

    def _forget(self) -> None:
        """Gather no more, and take off the gradients of parameters that no layer has."""
        self._calls = None
        for parameter in self._others.values():
            parameter.grad = None

    def _hook(self, stack: ExitStack, layer: nn.Module, names: Mapping[str, str], calls: Calls) -> None:
        """Put the hooks of one layer on it until `stack` ends."""
        attention = self._attentions.get(layer)
        if attention is not None:
            stack.enter_context(by_example(attention, layer, calls.size, partial(self._gather_use, names)))
            handle = layer.register_forward_hook(lambda *_: calls.expected.update(names.values()))
            stack.callback(handle.remove)
            return
        handle = layer.register_forward_hook(self._watching(names, calls), with_kwargs=True)
        stack.callback(handle.remove)

    def _watching(self, names: Mapping[str, str], calls: Calls) -> Callable[..., Tensor | None]:
        """The hook of a layer: it waits for the gradient of the layer's output.

        Where all examples share an output, as that of an embedding of positions, each gets one of its own.
        """

        def watch(layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Tensor) -> Tensor | None:
            if not calls.open:  # `rules` calls the layer once more
                return None
            x = _with_examples(inputs[0].detach(), calls.size) if inputs else None
            by_example = _with_examples(output, calls.size)
            if x is None or by_example is None:
                raise InputError(
                    f"{next(iter(names.values()))}: its layer has no dimension of the {calls.size} examples in its "
                    "first input or in its output: leave this parameter out."
                )
            if not by_example.requires_grad:
                by_example.requires_grad_()
            calls.expected.update(names.values())
            call = partial(Use, layer=layer, x=x, more=inputs[1:], named=named)
            by_example.register_hook(lambda g: self._gather_use(names, call(g=g.detach().float())))
            return None if by_example is output else by_example

        return watch

    def _gather_use(self, names: Mapping[str, str], use: Use) -> None:
        """Take the gradient of a layer's output, once the losses of all examples flow back."""
        calls = self._calls
        if calls is None:
            return
        alone = {name: self.sums[full] for name, full in names.items() if calls.expected[full] == 1}
        if alone:
            add_squares(use, alone)
        for name, full in names.items():
            if calls.expected[full] > 1:
                calls.uses.setdefault(full, []).append((name, use))

    def _add_shared(self, calls: Calls) -> None:
        """Add the squares for weights that several calls use: an example's gradients are added up first."""
        for full, uses in calls.uses.items():
            total = torch.empty_like(self.sums[full])
            for index in range(calls.size):
                total.zero_()
                for name, use in uses:
                    add_gradient(use.example(index), name, total)
                self.sums[full].addcmul_(total, total)

    def _add_others(self, values: Tensor) -> None:
        """Add the squares for parameters that no layer of their own has, one example after the other."""
        if not self._others:
            return
        for loss in values:
            gradients = torch.autograd.grad(loss, list(self._others.values()), retain_graph=True, allow_unused=True)
            for name, gradient in zip(self._others, gradients, strict=True):
                if gradient is not None:
                    self.sums[name] += gradient.square()


def asked_parameters(network: nn.Module, names: Callable[[str], bool]) -> dict[str, nn.Parameter]:
    """The parameters of `network` whose names are asked for; a weight under several names has the first of them.

    Raises:
        InputError: there is none, or one is quantised.
    """
    parameters = {name: parameter for name, parameter in network.named_parameters() if names(name)}
    if not parameters:
        raise InputError("None of the network's parameters is asked for, so there is no Fisher information to sum.")
    quantised = [name for name, parameter in parameters.items() if not parameter.is_floating_point()]
    if quantised:
        raise InputError(f"{quantised[0]} is quantised and has no gradient: load the network in fp32 or bf16.")
    return parameters


def _with_examples(tensor: Tensor, size: int) -> Tensor | None:
    """`tensor` [size, ...]; [1, ...] is repeated. None: it has another first dimension."""
    if tensor.shape[:1] == (size,):
        return tensor
    return tensor.expand(size, *tensor.shape[1:]).clone() if tensor.shape[:1] == (1,) else None
