"""Policies of agents in tiny sizes, and frames for them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from polyray.modules.kinds import MODULES
from polyray.modules.mix import Mix, Rows
from polyray.modules.options import SkillOptions
from polyray.modules.site import mixing
from polyray.rl.frames import COLOURS, OBJECTS, STATES, Frames, Outputs
from polyray.rl.options import PAPER, SMALL, PolicyOptions
from polyray.rl.policy import ModularPolicy, build_policy
from polyray.routing import RoutingOptions
from polyray.skills.spec import InventorySpec

N_WORDS = 9
WORDS = ("", *"abcdefgh")


def changed(options: PolicyOptions, **fields: Any) -> PolicyOptions:
    """`options` with some fields replaced."""
    return type(options).model_validate({**options.model_dump(), **fields})


TINY = changed(SMALL, embedding=4, channels=3, mission=4, hidden=3)
TINY_PAPER = changed(PAPER, embedding=4, channels=3, mission=4, memory=3, hidden=3, norm="none")
NETWORKS: dict[str, PolicyOptions] = {
    "small": TINY,
    "small with memory": changed(TINY, memory=3, blocks=1),
    "small, padded, three convolutions": changed(TINY, padding=1, convolutions=3),
    "paper": TINY_PAPER,
    "paper, batch norm": changed(TINY_PAPER, norm="batch"),
    "paper, 1x1 FiLM, whole map": changed(TINY_PAPER, kernel=1, pool="none", padding=0),
    "bag of words, group norm": changed(TINY_PAPER, reader="bag", norm="group", stride=2, padding=0, tile_film=True),
}
KINDS, LEVELS = ("dense", "sparse", "lora"), ("a", "b", "c")
ROUTINGS = {
    "shared": RoutingOptions.model_validate({"kind": "shared"}),
    "private": RoutingOptions.model_validate({"kind": "private"}),
    "expert": RoutingOptions.model_validate({"kind": "expert", "allocation": {"a": (0,), "b": (0, 1), "c": (1,)}}),
    "polytropon": RoutingOptions.model_validate({"kind": "polytropon", "n_skills": 2, "sample": "task"}),
}
MODULE_FIELDS = {"rank": 2, "density": 0.3}


def frames_of(tasks: Sequence[int], steps: int, memory: int, seed: int = 0) -> Frames:
    """Random frames of one environment for each of `tasks`."""
    generator = torch.Generator().manual_seed(seed)
    n = len(tasks)

    def numbers(below: int, *shape: int) -> Tensor:
        return torch.randint(below, (n, steps, *shape), generator=generator).byte()

    image = torch.stack([numbers(below, 7, 7) for below in (OBJECTS, COLOURS, STATES)], -1)
    missions = torch.tensor([[1, 2, 3, 0, 0, 0], [2, 8, 1, 4, 5, 0], [7, 0, 0, 0, 0, 0]]).byte()
    state = torch.randn(2, n, memory, generator=generator, dtype=torch.float64)
    return Frames(
        image=image, mission=missions[numbers(3).long()], fresh=numbers(3) == 0, task=torch.tensor(tasks),
        memory=(state[0], state[1]),
    )  # fmt: skip


def some_environments(frames: Frames, numbers: Sequence[int]) -> Frames:
    """The environments of `frames` with these numbers alone."""
    chosen = torch.tensor(numbers)
    return Frames(
        image=frames.image[chosen], mission=frames.mission[chosen], fresh=frames.fresh[chosen],
        task=frames.task[chosen], memory=(frames.memory[0][chosen], frames.memory[1][chosen]),
    )  # fmt: skip


def spec_of(kind: str, routing: RoutingOptions, init: float = 0.0) -> InventorySpec:
    """Tiny skills of that kind; each kind takes those of rank, density and init that it has."""
    fields = MODULES[kind].Options.model_fields
    values = {name: value for name, value in {**MODULE_FIELDS, "init": init}.items() if name in fields}
    return InventorySpec(modules=SkillOptions.model_validate({"kind": kind, **values}), routing=routing)


def policy_of(
    kind: str, routing: str, options: PolicyOptions = TINY, fresh: bool = False, init: float = 0.0
) -> ModularPolicy:
    """A policy in float64 for LEVELS; its skills and routing are drawn at random, or with `fresh` as they begin."""
    policy = build_policy(options, LEVELS, spec_of(kind, ROUTINGS[routing], init), N_WORDS, 0).double()
    if not fresh:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in [*policy.inventory.parameters(), *policy.router.parameters()]:
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
    return policy


def noise() -> torch.Generator:
    """Routing noise, the same at every call."""
    return torch.Generator().manual_seed(5)


def plain_outputs(policy: ModularPolicy, frames: Frames) -> Outputs:
    """Outputs of the readable network with the skills mixed layer by layer, one row of the mix for each task."""
    n_tasks = len(policy.router.tasks)
    mix = policy.router(torch.arange(n_tasks), noise())
    assert isinstance(mix, Mix)  # weights [sites or 1, heads, tasks, skills]
    with mixing(policy.inventory, Mix(mix.weights, Rows(frames.task.tolist(), n_tasks, frames.task.device))):
        outputs: Outputs = policy.network(frames)
        return outputs


def tensors_of(outputs: Outputs) -> dict[str, Tensor]:
    """Every tensor of `outputs` by name."""
    hidden, cell = outputs.memory
    return {"logits": outputs.logits, "values": outputs.values, "hidden": hidden, "cell": cell}
