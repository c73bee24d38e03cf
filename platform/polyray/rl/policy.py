"""The network with skills on every layer and a router: what acts and learns in BabyAI levels."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.attach import Inventory, attach
from polyray.modules.kinds import MODULES
from polyray.modules.layers import carries_skills
from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, Rows
from polyray.modules.options import SkillOptions
from polyray.modules.site import Site
from polyray.rl.fast.acting import ActingPolicy
from polyray.rl.fast.blocks import OVERHEAD, ChangingPlaces, FixedPlaces, split
from polyray.rl.fast.network import RowwiseNetwork
from polyray.rl.frames import Frames, Outputs
from polyray.rl.network import PolicyNetwork
from polyray.rl.options import PAPER, SMALL, LearningRates, PolicyOptions
from polyray.routing import ROUTERS, NewRow, Router, RoutingOptions, module_of
from polyray.routing.names import distinct
from polyray.skills.inventory import restore_parameters
from polyray.skills.spec import InventorySpec

__all__ = [
    "PAPER", "SMALL", "ActingPolicy", "Frames", "ModularPolicy", "Outputs", "PolicyNetwork", "PolicyOptions",
    "build_policy", "check_agent", "parameter_groups",
]  # fmt: skip


class ModularPolicy(nn.Module):
    """`network` with `inventory` on every layer that can carry skills, mixed by `router` for each level.

    Every task has one mix in a forward pass. Weights are merged once for each distinct mix and applied to all of its
    environments at once. The routing noise of a task depends on the generator alone, not on what else is in the batch:
    generators seeded alike give rollout and update the same mix. In evaluation mode nothing is drawn.
    """

    def __init__(self, spec: InventorySpec, network: PolicyNetwork, inventory: Inventory, router: Router) -> None:
        super().__init__()
        self.spec, self.network = spec, network
        self.router = router
        self.set_inventory(inventory)

    @property
    def options(self) -> PolicyOptions:
        """Sizes and choices of the network."""
        return self.network.options

    def set_inventory(self, inventory: Inventory) -> None:
        """Let `inventory`, which sits on the network, be the policy's."""
        self.inventory = inventory
        self._compute = RowwiseNetwork(self.network, inventory)  # equals self.network called inside `mixing`

    def forward(self, frames: Frames, noise: torch.Generator | None = None) -> Outputs:
        """The outputs for frames whose `task` are rows of the router.

        Raises:
            InputError: a task is unknown.
        """
        mix = self._mix(self.router.tasks.rows(frames.task), noise, OVERHEAD / frames.fresh.shape[1])
        return self._compute(frames, mix)

    def _mix(self, tasks: Sequence[int], noise: torch.Generator | None, overhead: float = 1.0) -> Mix:
        """The mix of `tasks`, whose rows are their distinct mixtures, those of many examples several times.

        Args:
            overhead: work that one more row takes, in examples.
        """
        mixtures, rows = self._mixtures(tasks)
        of_block, blocks = split(rows, len(mixtures), overhead)
        weights = self._weights([mixtures[row] for row in of_block], noise)
        return Mix(weights, Rows(blocks, len(of_block), weights.device))

    def _mixtures(self, tasks: Sequence[int]) -> tuple[list[int], list[int]]:
        """A task of each distinct mixture among those of `tasks`, and for each of these the number of its mixture."""
        same = self.router.same_mixture()
        return distinct([same[task] for task in tasks])

    def _weights(self, tasks: Sequence[int], noise: torch.Generator | None) -> Tensor:
        """Weights of the skills in each of `tasks`, [sites or 1, heads, tasks, skills]."""
        whole = self.router(torch.arange(len(self.router.tasks)), noise)  # of all tasks: the draws do not move
        assert isinstance(whole, Mix)  # routers of agents are `by_task`
        return whole.weights.index_select(2, torch.tensor(tasks, device=whole.weights.device))

    def folded(self, task: Tensor, noise: torch.Generator | None = None, among: Tensor | None = None) -> ActingPolicy:
        """The policy with its weights merged once, for rollouts in environments of these tasks: task int64 [B].

        Right until a parameter changes. Its outputs equal those of the policy with a generator in the same state, up to
        rounding.

        Args:
            noise: draws the routing's noise.
            among: tasks that environments may come to while they play, int64 [tasks]; None: each keeps its own.

        Raises:
            InputError: a task is unknown.
        """
        if among is None:
            mix = self._mix(self.router.tasks.rows(task), noise)
            return ActingPolicy(self._compute, mix.weights, FixedPlaces(task, mix.rows))
        tasks = self.router.tasks.rows(among)
        mixtures, rows = self._mixtures(tasks)
        placement = ChangingPlaces(task, dict(zip(tasks, rows, strict=True)))
        weights = self._weights([mixtures[row] for row in placement.row_of_block], noise)
        return ActingPolicy(self._compute, weights, placement)

    def add_level(self, name: str, generator: torch.Generator, row: NewRow | None = None) -> None:
        """A row for a new level; the policy's behaviour in the old ones stays as it is, bit for bit.

        New parameters want a new optimiser.

        Raises:
            InputError: the name is taken, or `row` does not fit the router.
        """
        self.router.add_task(name, generator, row or NewRow())
        if self.router.n_skills > self.inventory.n_skills:
            self._grow(self.router.n_skills, generator)

    def _grow(self, n_skills: int, generator: torch.Generator) -> None:
        old = self.inventory
        parameter = next(old.parameters())
        new = old.fresh(n_skills, generator).to(device=parameter.device, dtype=parameter.dtype)
        for index in range(old.n_skills):
            new.load_skill(index, old.skill(index))
        new.install(self.network)
        self.set_inventory(new)

    def backbone_state(self) -> dict[str, Tensor]:
        """Parameters and buffers of the network under the names that they have without skills on it."""
        state = self.network.state_dict()
        for site in [name for name, module in self.network.named_modules() if isinstance(module, Site)]:
            inner = [name for name in state if name.startswith(f"{site}.layer.")]
            state |= {name.replace(f"{site}.layer.", f"{site}.", 1): state.pop(name) for name in inner}
        return dict(sorted(state.items()))

    def load_backbone_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `backbone_state` returned.

        Raises:
            InputError: names, shapes or types differ.
        """
        restore_parameters(self.backbone_state(), state)

    def heads_state(self) -> dict[str, Tensor]:
        """No heads: actor and critic belong to the network."""
        return {}

    def load_heads_state(self, state: Mapping[str, Tensor]) -> None:
        """No heads."""


def carriers(network: nn.Module) -> tuple[str, ...]:
    """The names of all layers of `network` that can carry skills."""
    return tuple(name for name, layer in network.named_modules() if carries_skills(layer))


def build_policy(
    options: PolicyOptions, tasks: Sequence[str], spec: InventorySpec, n_words: int, seed: int
) -> ModularPolicy:
    """A fresh policy for the levels `tasks`, with skills on every layer; the seed draws all weights.

    n_words: size of the vocabulary, padding included.

    Raises:
        InputError: modules or router are not for agents, or options do not fit.
    """
    check_agent(spec)
    network = new_network(options, n_words, seed)
    generator = torch.Generator().manual_seed(seed)
    layout = Layout.of(network, carriers(network), spec.modules.n_heads)
    router = ROUTERS[spec.routing.kind](tasks, layout, spec.routing.options, generator)
    return on_network(network, spec, router, generator)


def new_network(options: PolicyOptions, n_words: int, seed: int) -> PolicyNetwork:
    """A network without skills, its weights drawn from the seed.

    Raises:
        InputError: missions, which are stored as bytes, have more than 256 words.
    """
    if n_words > 256:
        raise InputError(f"Missions are stored as bytes: a vocabulary has at most 256 words, found {n_words}.")
    with torch.random.fork_rng(devices=[]):  # torch draws the initial weights of layers from the global generator
        torch.manual_seed(seed)
        return PolicyNetwork(options, n_words)


def on_network(
    network: PolicyNetwork, spec: InventorySpec, router: Router, generator: torch.Generator
) -> ModularPolicy:
    """The policy with fresh skills on every layer of `network` that can carry them; its spec names these sites."""
    sites, modules = carriers(network), spec.modules
    inventory = attach(network, sites, modules.kind, router.n_skills, modules.stack_options, generator)
    modules = SkillOptions(kind=modules.kind, options=modules.options, sites=sites)
    return ModularPolicy(InventorySpec(modules=modules, routing=spec.routing), network, inventory, router)


def check_agent(spec: InventorySpec) -> None:
    """Refuse modules that change no weights, and routers that do not give every level one mix.

    Raises:
        InputError: as said.
    """
    kind, routing = spec.modules.kind, spec.routing
    if not MODULES[kind].changes_weights:
        able = ", ".join(name for name, entry in MODULES.items() if entry.changes_weights)
        raise InputError(f"Agents carry modules.kind={able}; found {kind!r}.")
    router = ROUTERS[routing.kind]
    if not router.by_task or router.module_kinds:
        raise InputError(f"Agents route by level: routing.kind={routing.kind} has no row of weights for a level.")
    if _draws_by_example(routing):
        raise InputError(
            "Agents draw one mix for every level and forward pass, so that rollout and update agree: "
            "routing.sample must be 'task' or 'none', found 'example'."
        )


def _draws_by_example(routing: RoutingOptions) -> bool:
    return bool(vars(routing.options).get("sample") == "example")


def parameter_groups(policy: ModularPolicy, rates: LearningRates) -> list[dict[str, Any]]:
    """Groups for an optimiser, "name" and "lr" each, without weight decay: skills, routing, backbone.

    The backbone is frozen where its rate is 0; a group without parameters is left out. Polytropon's agents are trained
    with Adam(groups, eps=1e-5); on a CPU fused=True is 2.5 times faster.
    """
    of_skills = {id(parameter) for parameter in policy.inventory.parameters()}
    backbone = [parameter for parameter in policy.network.parameters() if id(parameter) not in of_skills]
    for parameter in backbone:
        parameter.requires_grad_(rates.backbone_lr > 0)
    groups = {
        "skills": (list(policy.inventory.parameters()), rates.lr),
        "routing": (list(module_of(policy.router).parameters()), rates.routing_lr),
        "backbone": (backbone if rates.backbone_lr > 0 else [], rates.backbone_lr),
    }
    return [
        {"params": parameters, "lr": lr, "weight_decay": 0.0, "name": name}
        for name, (parameters, lr) in groups.items()
        if parameters
    ]
