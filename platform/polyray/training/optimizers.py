"""Two speeds: skills and heads learn slowly, routing fast, the backbone not at all or at a rate of its own."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.config import Section
from polyray.training.entries import ChosenEntries
from polyray.training.model import Modular


class AdamOptions(Section):
    """Learning rate and its schedule, weight decay, clipping."""

    lr: float = Field(1e-3, gt=0)
    """Peak learning rate of the skills, and of the heads of tasks that have one."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay of skills, heads and backbone; the routing has none."""
    warmup: float = Field(0.06, ge=0, le=1)
    """Share of the steps over which learning rates rise; then they fall linearly to 0."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    beta2: float = Field(0.999, gt=0, lt=1)
    """Adam's memory of squared gradients; runs of some hundred steps want 0.99."""


class OptimizerOptions(AdamOptions):
    """Learning rates and their schedule, weight decay, clipping."""

    routing_lr: float = Field(1e-1, gt=0)
    """Peak learning rate of the routing: the second speed (Ponti et al. 2023, section 2.3)."""


def optimizer(model: Modular, options: OptimizerOptions, backbone_lr: float = 0.0) -> torch.optim.AdamW:
    """AdamW over skills, routing, heads and, where it has a learning rate, the backbone, which is frozen at 0."""
    router = list(model.router.parameters())
    modular = {id(p) for p in (*model.inventory.parameters(), *router)}
    base = [p for p in model.network.parameters() if id(p) not in modular]
    for parameter in base:
        parameter.requires_grad_(backbone_lr > 0)
    routing_lr = {"routing": options.routing_lr, "skills": options.lr}[model.router.speed]
    groups = [
        _group(_trainable(model.inventory.parameters()), options.lr, options.weight_decay, "skills"),
        _group(_trainable(router), routing_lr, 0.0, "routing"),
        _group(_trainable(model.heads.parameters()), options.lr, options.weight_decay, "heads"),
        _group(base if backbone_lr > 0 else [], backbone_lr, options.weight_decay, "backbone"),
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=options.lr, betas=(0.9, options.beta2), fused=True
    )


def adamw(parameters: Mapping[str, Sequence[nn.Parameter]], options: AdamOptions) -> torch.optim.AdamW:
    """AdamW over groups of parameters at one rate; names: of the groups in metrics, an empty one is left out."""
    groups = [_group(list(group), options.lr, options.weight_decay, name) for name, group in parameters.items()]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=options.lr, betas=(0.9, options.beta2), fused=True
    )


def sparse_optimizer(chosen: ChosenEntries, options: AdamOptions) -> torch.optim.AdamW:
    """AdamW over chosen entries and the parameters that are trained whole; a step writes the entries into the network.

    Its state is of these alone. Weight decay, too, changes no other entry.
    """
    adam = adamw({"entries": [chosen.values], "heads": list(chosen.dense.values())}, options)
    adam.register_step_post_hook(lambda optimizer, arguments, named: chosen.write())
    return adam


def _group(parameters: list[nn.Parameter], lr: float, decay: float, name: str) -> dict[str, object]:
    return {"params": parameters, "lr": lr, "peak": lr, "weight_decay": decay, "name": name}


def _trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]


def set_rates(adam: torch.optim.Optimizer, step: int, steps: int, warmup: float) -> None:
    """Set the rates of step `step` (from 0)."""
    for group in adam.param_groups:
        group["lr"] = group["peak"] * share_of_peak(step, steps, warmup)


def share_of_peak(step: int, steps: int, warmup: float) -> float:
    """Rate of step `step` (from 0) over the peak: a linear rise in the first `warmup` of `steps`, then a fall to 0."""
    rising = max(1, round(warmup * steps))
    return (step + 1) / rising if step < rising else (steps - step) / (steps - rising)


def trained(adam: torch.optim.Optimizer) -> list[nn.Parameter]:
    """All parameters that the optimiser changes."""
    return [parameter for group in adam.param_groups for parameter in group["params"]]


def adam_tensors(adam: torch.optim.Optimizer) -> list[dict[str, Tensor]]:
    """The state of every trained parameter, in order."""
    return [
        {name: value.detach().cpu().clone() for name, value in adam.state[parameter].items()}
        for parameter in trained(adam)
    ]


def load_adam(adam: torch.optim.Optimizer, states: Sequence[Mapping[str, Tensor]]) -> None:
    """Restore the states that `adam_tensors` returned.

    Raises:
        ValueError: there are more or fewer of them than trained parameters.
    """
    for parameter, state in zip(trained(adam), states, strict=True):
        adam.state[parameter].update({name: value.to(parameter.device) for name, value in state.items()})
