"""Two speeds: skills learn slowly, routing fast, the backbone not at all or on its own."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polyray.routing import LearnedRouter
from polyray.training.model import Modular


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """Learning rates and what goes with them."""

    lr: float = 1e-3  # skills
    routing_lr: float = 1e-1  # allocation logits (dual speed: Ponti et al. 2023, section 2.3)
    backbone_lr: float = 0.0  # 0: the backbone is frozen
    weight_decay: float = 0.01  # of skills and backbone; never of the routing
    warmup: float = 0.06  # share of the steps over which learning rates rise
    clip: float = 1.0  # largest norm of the gradient
    beta2: float = 0.999  # Adam's memory of squared gradients; short runs want a shorter one


def optimizer(model: Modular, speeds: OptimizerOptions) -> torch.optim.AdamW:
    """AdamW over skills, routing and, where it has a learning rate, the backbone; all else is frozen."""
    own = {id(p) for p in (*model.inventory.parameters(), *model.router.parameters())}
    base = [p for p in model.network.parameters() if id(p) not in own]
    for parameter in base:
        parameter.requires_grad_(speeds.backbone_lr > 0)
    fast = isinstance(model.router, LearnedRouter)
    groups = [
        _group(list(model.inventory.parameters()), speeds.lr, speeds.weight_decay, "skills"),
        _group(list(model.router.parameters()), speeds.routing_lr if fast else speeds.lr, 0.0, "routing"),
        _group(base if speeds.backbone_lr > 0 else [], speeds.backbone_lr, speeds.weight_decay, "backbone"),
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=speeds.lr, betas=(0.9, speeds.beta2), fused=True
    )


def _group(parameters: list[nn.Parameter], lr: float, decay: float, name: str) -> dict[str, object]:
    kept = [parameter for parameter in parameters if parameter.requires_grad]
    return {"params": kept, "lr": lr, "peak": lr, "weight_decay": decay, "name": name}


def set_rates(adam: torch.optim.Optimizer, step: int, steps: int, warmup: float) -> None:
    """The rates of step `step` (from 0): a linear rise over the first `warmup` share of `steps`, then a fall to 0."""
    rising = max(1, round(warmup * steps))
    scale = (step + 1) / rising if step < rising else (steps - step) / max(1, steps - rising)
    for group in adam.param_groups:
        group["lr"] = group["peak"] * scale


def trained(adam: torch.optim.Optimizer) -> list[nn.Parameter]:
    """All parameters that the optimiser changes."""
    return [parameter for group in adam.param_groups for parameter in group["params"]]


def adam_tensors(adam: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of every trained parameter, by its place: adam/PLACE/NAME."""
    found = {}
    for place, parameter in enumerate(trained(adam)):
        for name, value in adam.state[parameter].items():
            found[f"adam/{place}/{name}"] = value.detach().cpu().clone()
    return found


def load_adam(adam: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `adam_tensors` gave."""
    for place, parameter in enumerate(trained(adam)):
        prefix = f"adam/{place}/"
        for name, value in tensors.items():
            if name.startswith(prefix):
                state = name.removeprefix(prefix)
                adam.state[parameter][state] = value.to(parameter.device)
