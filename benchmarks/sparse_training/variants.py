"""Ways to train chosen entries of a network, each as the function that makes a step of it.

`masked` is the reference's way (composable-sft, `sft/trainer.py` and `sft/lt_sft.py`): every parameter has a gradient,
a mask, its value from before and Adam's two moments; the L1 term is a loss of its own with a backward pass.
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from benchmarks.sparse_training.problem import Tagger, eligible_names
from benchmarks.timing import Step
from polyray.training.entries import ChosenEntries
from polyray.training.masked import masks_of
from polyray.training.optimizers import OptimizerOptions, sparse_optimizer
from polyray.training.pull import pull

RATE, CLIP, L1 = 5e-5, 1.0, 0.1
Variant = Callable[[Tagger, Mapping[str, Tensor], Iterator[Tensor]], Step]


def forward_only(network: Tagger, entries: Mapping[str, Tensor], data: Iterator[Tensor]) -> Step:
    """The loss without gradients."""

    def step() -> None:
        with torch.no_grad():
            network.loss(next(data))

    return step


def frozen(network: Tagger, entries: Mapping[str, Tensor], data: Iterator[Tensor]) -> Step:
    """Gradients of the activations alone: the floor of everything that trains something early in the network."""
    embeddings = network.encoder.embeddings

    def step() -> None:
        network.requires_grad_(False)
        hook = embeddings.register_forward_hook(lambda module, inputs, output: output.requires_grad_())
        network.loss(next(data)).backward()
        hook.remove()

    return step


def masked(l1: float, fused: bool | None = None) -> Variant:
    """Masked training of everything; l1: strength of the regularisation, 0: none."""

    def make(network: Tagger, entries: Mapping[str, Tensor], data: Iterator[Tensor]) -> Step:
        names = eligible_names(network)
        trained = {name: network.get_parameter(name) for name in (*names.sparse, *names.dense)}
        masks = masks_of(network, entries)
        start = {name: parameter.detach().clone() for name, parameter in trained.items()}
        n_parameters = sum(parameter.numel() for parameter in network.parameters())
        adam = torch.optim.AdamW(trained.values(), lr=RATE, weight_decay=0.0, fused=fused)

        def step() -> None:
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(name in trained)
            network.loss(next(data)).backward()
            if l1:
                distances = [(parameter - start[name]).abs().sum() for name, parameter in trained.items()]
                (l1 * torch.stack(distances).sum() / n_parameters).backward()
            for name, mask in masks.items():
                gradient = trained[name].grad
                if gradient is not None:
                    gradient *= mask
            nn.utils.clip_grad_norm_(trained.values(), CLIP)
            adam.step()
            adam.zero_grad()

        return step

    return make


def full(network: Tagger, entries: Mapping[str, Tensor], data: Iterator[Tensor]) -> Step:
    """Full fine-tuning, the first phase."""
    names = eligible_names(network)
    trained = {name: network.get_parameter(name) for name in (*names.sparse, *names.dense)}
    adam = torch.optim.AdamW(trained.values(), lr=RATE, weight_decay=0.0)

    def step() -> None:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in trained)
        network.loss(next(data)).backward()
        nn.utils.clip_grad_norm_(trained.values(), CLIP)
        adam.step()
        adam.zero_grad()

    return step


def chosen(l1: float) -> Variant:
    """Training of the chosen entries; l1: strength of the regularisation, 0: none."""

    def make(network: Tagger, entries: Mapping[str, Tensor], data: Iterator[Tensor]) -> Step:
        chosen = ChosenEntries(network, entries, eligible_names(network).dense)
        adam = sparse_optimizer(chosen, OptimizerOptions(lr=RATE, weight_decay=0.0))
        dense = list(chosen.dense.values())
        start = [chosen.start, *(parameter.detach().clone() for parameter in dense)]
        n_parameters = sum(parameter.numel() for parameter in network.parameters())

        def step() -> None:
            with chosen.installed():
                network.loss(next(data)).backward()
                if l1:
                    pull([chosen.values, *dense], start, l1 / n_parameters)
                nn.utils.clip_grad_norm_([chosen.values, *dense], CLIP)
                adam.step()
                adam.zero_grad()

        return step

    return make


VARIANTS: dict[str, Variant] = {
    "forward only": forward_only,
    "frozen": frozen,
    "full": full,
    "masked": masked(0.0),
    "masked, fused Adam": masked(0.0, fused=True),
    "chosen": chosen(0.0),
    "masked, L1": masked(L1),
    "chosen, L1": chosen(L1),
}
