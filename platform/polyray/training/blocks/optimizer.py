"""AdamW with learning rates, warm-up and clipping of its own for every block."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polyray.backbones.backbone import device_of
from polyray.training.blocks.model import BlockModel
from polyray.training.optimizers import OptimizerOptions, share_of_peak


@dataclass(frozen=True, eq=False, kw_only=True)
class BlockGroup:
    """Parameters of one speed: `of_blocks` gives a view [blocks, ...] of a tensor like them; peaks [blocks]."""

    parameters: Sequence[nn.Parameter]
    of_blocks: Callable[[Tensor], Tensor]
    peaks: Tensor
    weight_decay: float


class BlockAdam:
    """The optimiser of `optimizer` (training/optimizers.py) for each block, with the block's options.

    Adam is elementwise, so blocks do not touch each other in one step of it; and the step is linear in the learning
    rate, weight decay included, so that it is taken at rate 1 and then scaled block by block.
    """

    def __init__(self, model: BlockModel, options: Sequence[OptimizerOptions]) -> None:
        first = options[0]
        if any((o.beta2, o.weight_decay) != (first.beta2, first.weight_decay) for o in options):
            raise ValueError("blocks share beta2 and weight_decay")
        self._options, device = options, device_of(model.network)
        skills = torch.tensor([o.lr for o in options], device=device)
        routing = torch.tensor([o.routing_lr for o in options], device=device)
        router, inventory = model.router, model.inventory
        groups = [
            BlockGroup(
                parameters=[p for p in inventory.parameters() if p.requires_grad], of_blocks=inventory.of_blocks,
                peaks=skills, weight_decay=first.weight_decay,
            ),
            BlockGroup(
                parameters=list(router.parameters()), of_blocks=router.of_blocks,
                peaks=skills if router.table.speed == "skills" else routing, weight_decay=0.0,
            ),
        ]  # fmt: skip
        self._groups = [group for group in groups if group.parameters]
        self._clip = torch.tensor([o.clip for o in options], device=device)
        self._adam = torch.optim.AdamW(
            [{"params": group.parameters, "weight_decay": group.weight_decay} for group in self._groups],
            lr=1.0, betas=(0.9, first.beta2), fused=True,
        )  # fmt: skip

    @torch.no_grad()
    def step(self, step: int, steps: int) -> None:
        """Take step number `step` (from 0) of `steps` with the gradients that are there, which are cleared."""
        self._clip_gradients()
        before = [[parameter.clone() for parameter in group.parameters] for group in self._groups]
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        shares = [share_of_peak(step, steps, o.warmup) for o in self._options]
        for group, old in zip(self._groups, before, strict=True):
            rates = group.peaks * torch.tensor(shares, device=group.peaks.device)
            for parameter, start in zip(group.parameters, old, strict=True):
                end = group.of_blocks(parameter)
                end.copy_(torch.lerp(group.of_blocks(start), end, _like(rates, end)))

    def _clip_gradients(self) -> None:
        """Scale the gradients of each block whose norm is larger than its `clip`, as torch's clip_grad_norm_ does."""
        gradients = [group.of_blocks(p.grad) for group in self._groups for p in group.parameters if p.grad is not None]
        norms = [torch.linalg.vector_norm(x, dim=tuple(range(1, x.dim()))) for x in gradients]
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)  # [blocks]
        scale = (self._clip / (norm + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(_like(scale, gradient))


def _like(values: Tensor, blocks: Tensor) -> Tensor:
    """Values [blocks] in the shape [blocks, 1, ...] of a tensor [blocks, ...]."""
    return values.view(-1, *[1] * (blocks.dim() - 1))
