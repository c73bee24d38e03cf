"""A policy as plain data, so that every process of a training builds the same one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from polyray.modules.layout import Layout
from polyray.rl.options import PolicyOptions
from polyray.rl.policy import ModularPolicy, carriers, new_network, on_network
from polyray.routing.restoring import restore_router
from polyray.skills.spec import InventorySpec


@dataclass(frozen=True, eq=False, kw_only=True)
class Blueprint:
    """Options, spec, tasks and all tensors of a policy."""

    options: PolicyOptions
    spec: InventorySpec
    tasks: tuple[str, ...]  # rows of the allocation by name; the levels that are played are among them
    n_words: int
    backbone: Mapping[str, Tensor]
    router: Mapping[str, Tensor]
    skills: tuple[Mapping[str, Tensor], ...]

    @classmethod
    def of(cls, policy: ModularPolicy) -> Self:
        """The blueprint of `policy` as it is now."""
        return cls(
            options=policy.options, spec=policy.spec, tasks=policy.router.tasks.names, n_words=policy.network.n_words,
            backbone=_copied(policy.backbone_state()), router=_copied(policy.router.state_dict()),
            skills=tuple(policy.inventory.skill(index) for index in range(policy.inventory.n_skills)),
        )  # fmt: skip

    def build(self) -> ModularPolicy:
        """The policy, in training mode."""
        network = new_network(self.options, self.n_words, seed=0)
        layout = Layout.of(network, carriers(network), self.spec.modules.n_heads)
        router = restore_router(self.spec.routing, self.tasks, layout, self.router, n_skills=len(self.skills))
        policy = on_network(network, self.spec, router, torch.Generator().manual_seed(0))
        policy.load_backbone_state(self.backbone)
        for index, tensors in enumerate(self.skills):
            policy.inventory.load_skill(index, tensors)
        return policy.train()


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
