"""The network with skills on every layer and a router: what acts and learns in BabyAI levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.modules.attach import Inventory, attach
from polyray.modules.fast.merged import Merger
from polyray.modules.layers import LAYERS
from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, Rows
from polyray.modules.options import ModuleOptions
from polyray.rl.acting import ActingPolicy
from polyray.rl.frames import Frames, Outputs
from polyray.rl.network import Policy
from polyray.rl.options import PAPER, PRESETS, SMALL, PolicyOptions
from polyray.routing import ROUTERS, FixedRouter, LearnedRouter, Router, RoutingOptions
from polyray.routing.names import distinct

__all__ = [
    "PAPER", "PRESETS", "SMALL", "ActingPolicy", "Form", "Frames", "ModularPolicy", "Outputs", "Policy",
    "PolicyOptions", "build_policy", "carriers", "parameter_groups",
]  # fmt: skip

MODULE_KINDS = ("dense", "sparse", "lora")


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a policy looks like: enough to build it again and load its tensors."""

    options: PolicyOptions
    module: str
    modules: ModuleOptions
    routing: str
    router: RoutingOptions
    n_words: int


class ModularPolicy(nn.Module):
    """`network` with `inventory` on every layer that can carry skills, mixed by `router` for each level.

    Every task has one mix in a forward pass. Weights are merged once for each distinct mix and applied to all of its
    environments at once. The routing noise of a task depends on the generator alone, not on what else is in the batch:
    generators seeded alike give rollout and update the same mix. In evaluation mode nothing is drawn.
    """

    def __init__(self, form: Form, network: Policy, inventory: Inventory, router: LearnedRouter | FixedRouter) -> None:
        super().__init__()
        self.form, self.network, self.router = form, network, router
        self.set_inventory(inventory)

    def set_inventory(self, inventory: Inventory) -> None:
        """Let `inventory`, which sits on the network, be the policy's."""
        self.inventory = inventory
        self._merged = Merger(self.network, inventory)

    def forward(self, frames: Frames, noise: torch.Generator | None = None) -> Outputs:
        """The outputs for frames whose `task` are rows of the router.

        Raises:
            InputError: a task is unknown.
        """
        mix = self._mix(self.router.tasks.rows(frames.task), noise)
        return self.network.run(frames, self.network.tables(self._merged(mix.weights)), mix.rows)

    def _mix(self, tasks: Sequence[int], noise: torch.Generator | None) -> Mix:
        """The mix of `tasks`, whose rows are their distinct mixtures."""
        whole = self.router(torch.arange(len(self.router.tasks)), noise)  # of all tasks: the draws stay in their places
        alike = self._alike()
        kept, places = distinct([alike[task] for task in tasks])
        device = whole.weights.device
        weights = whole.weights.index_select(2, torch.tensor(kept, device=device))
        return Mix(weights, Rows(places, len(kept), device))

    def _alike(self) -> list[int]:
        """For every task the first one with the same mixture: levels that share all skills share their weights."""
        if not isinstance(self.router, FixedRouter):
            return list(range(len(self.router.tasks)))
        rows = [tuple(row) for row in self.router.table.tolist()]
        return [rows.index(row) for row in rows]

    @torch.no_grad()
    def folded(self, noise: torch.Generator | None = None) -> ActingPolicy:
        """The policy with its weights merged once, for rollouts: right until a parameter changes, and free of merging.

        What it says equals what the policy says with a generator in the same state, up to rounding.
        """
        mix = self._mix(range(len(self.router.tasks)), noise)
        return ActingPolicy(self.network, self.network.tables(self._merged(mix.weights)), mix.rows)

    def add_level(
        self,
        name: str,
        generator: torch.Generator,
        init: Literal["uniform", "mean", "copy"] = "uniform",
        like: str | None = None,
        row: Tensor | None = None,
    ) -> None:
        """A row for a new level; what the policy does in the old ones stays as it is, bit for bit.

        init, like: of a learned router's row (`Learned.add_task`). row [skills or more]: of a fixed router's; without
        it a private router gets a new skill and a shared one its only skill. New parameters want a new optimiser.

        Raises:
            InputError: the name is taken, or an expert router gets no row.
        """
        if isinstance(self.router, LearnedRouter):
            self.router.add_task(name, generator, init, like)
            return
        self.router.add_task(name, self._fixed_row(name) if row is None else row)
        if self.router.n_skills > self.inventory.n_skills:
            self._grow(self.router.n_skills, generator)

    def _fixed_row(self, name: str) -> Tensor:
        n = self.inventory.n_skills
        if self.form.routing == "private":
            return torch.eye(n + 1)[n]
        if n == 1:
            return torch.ones(1)
        raise InputError(f"routing.kind={self.form.routing} needs the row of skills that level {name!r} uses.")

    def _grow(self, n_skills: int, generator: torch.Generator) -> None:
        old = self.inventory
        parameter = next(old.parameters())
        new = old.fresh(n_skills, generator).to(device=parameter.device, dtype=parameter.dtype)
        for index in range(old.n_skills):
            new.load_skill(index, old.skill(index))
        new.install(self.network)
        self.set_inventory(new)


def carriers(network: nn.Module) -> tuple[str, ...]:
    """The names of all layers of `network` that can carry skills."""
    kinds = tuple(LAYERS)
    return tuple(name for name, layer in network.named_modules() if isinstance(layer, kinds))


def build_policy(
    options: PolicyOptions,
    tasks: Sequence[str],
    modules_kind: str,
    module_options: ModuleOptions,
    routing_kind: str,
    routing_options: RoutingOptions,
    n_words: int,
    seed: int,
) -> ModularPolicy:
    """A fresh policy for the levels `tasks`; the seed draws all weights.

    n_words: size of the vocabulary, padding included.

    Raises:
        InputError: the kinds are unknown or not for agents, or options do not fit.
    """
    if modules_kind not in MODULE_KINDS:
        raise InputError(f"Agents carry modules.kind={', '.join(MODULE_KINDS)}; found {modules_kind!r}.")
    if n_words > 256:
        raise InputError(f"Missions are stored as bytes: a vocabulary has at most 256 words, found {n_words}.")
    with torch.random.fork_rng(devices=[]):  # torch draws the initial weights of layers from the global generator
        torch.manual_seed(seed)
        network = Policy(options, n_words)
    generator = torch.Generator().manual_seed(seed)
    layout = Layout.of(network, carriers(network), module_options.n_splits)
    router = lookup(ROUTERS, routing_kind, "router")(tasks, layout, routing_options, generator)
    form = Form(
        options=options, module=modules_kind, modules=module_options, routing=routing_kind, router=routing_options,
        n_words=n_words,
    )  # fmt: skip
    inventory = attach(network, layout.sites, modules_kind, router.n_skills, module_options, generator)
    return ModularPolicy(form, network, inventory, _by_task(router, form))


def _by_task(router: Router, form: Form) -> LearnedRouter | FixedRouter:
    """`router`, if it gives every task one mix.

    Raises:
        InputError: it does not.
    """
    if not isinstance(router, LearnedRouter | FixedRouter):
        raise InputError(f"Agents route by level: routing.kind={form.routing} has no row of weights for a level.")
    if isinstance(router, LearnedRouter) and form.router.sample == "example":
        raise InputError(
            "Agents draw one mix for every level and forward pass, so that rollout and update agree: "
            "routing.sample must be 'task' or 'none', found 'example'."
        )
    return router


class OptimizerOptions(Protocol):
    """Learning rates, as `polyray.training.optimizers.Speeds` and a job's settings have them."""

    @property
    def lr(self) -> float:
        """Of the skills."""

    @property
    def routing_lr(self) -> float:
        """Of the allocation logits."""

    @property
    def backbone_lr(self) -> float:
        """Of all else; 0: it is frozen."""


def parameter_groups(policy: ModularPolicy, speeds: OptimizerOptions) -> list[dict[str, Any]]:
    """Groups for an optimiser, "name" and "lr" each, without weight decay: skills, routing, backbone.

    The backbone is frozen where its rate is 0; a group without parameters is left out. Polytropon's agents are trained
    with Adam(groups, eps=1e-5); on a CPU fused=True is 2.5 times faster.
    """
    own = {id(parameter) for parameter in policy.inventory.parameters()}
    backbone = [parameter for parameter in policy.network.parameters() if id(parameter) not in own]
    for parameter in backbone:
        parameter.requires_grad_(speeds.backbone_lr > 0)
    groups = {
        "skills": (list(policy.inventory.parameters()), speeds.lr),
        "routing": (list(policy.router.parameters()), speeds.routing_lr),
        "backbone": (backbone if speeds.backbone_lr > 0 else [], speeds.backbone_lr),
    }
    return [
        {"params": parameters, "lr": lr, "weight_decay": 0.0, "name": name}
        for name, (parameters, lr) in groups.items()
        if parameters
    ]
