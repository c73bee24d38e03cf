"""The agents' network in tiny sizes, frames for it, and its slow version."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from polyray.modules.kinds import MODULES
from polyray.modules.mix import Mix
from polyray.modules.options import SkillOptions
from polyray.rl.network import Film
from polyray.rl.options import PAPER, SMALL, PolicyOptions
from polyray.rl.policy import Frames, ModularPolicy, Policy, build_policy
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
    "paper": TINY_PAPER,
    "paper, batch norm": changed(TINY_PAPER, norm="batch"),
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
    generator = torch.Generator().manual_seed(seed)
    n = len(tasks)

    def numbers(below: int, *shape: int) -> Tensor:
        return torch.randint(below, (n, steps, *shape), generator=generator).byte()

    image = torch.stack([numbers(below, 7, 7) for below in (11, 6, 4)], -1)
    missions = torch.tensor([[1, 2, 3, 0, 0, 0], [2, 8, 1, 4, 5, 0], [7, 0, 0, 0, 0, 0]]).byte()
    state = torch.randn(2, n, memory, generator=generator, dtype=torch.float64)
    return Frames(
        image=image, mission=missions[numbers(3).long()], fresh=numbers(3) == 0, task=torch.tensor(tasks),
        memory=(state[0], state[1]),
    )  # fmt: skip


def part(frames: Frames, rows: Sequence[int]) -> Frames:
    chosen = torch.tensor(rows)
    return Frames(
        image=frames.image[chosen], mission=frames.mission[chosen], fresh=frames.fresh[chosen],
        task=frames.task[chosen], memory=(frames.memory[0][chosen], frames.memory[1][chosen]),
    )  # fmt: skip


def slowly(net: Policy, frames: Frames) -> list[Tensor]:
    """Logits, values and memory, layer by layer and frame by frame as the paper's network is described."""
    (n, steps), options = frames.fresh.shape, net.options
    mission = frames.mission.flatten(0, 1).long()
    words = net.words(mission)
    if options.reader == "gru":
        code = net.reader(words)[0][torch.arange(len(mission)), (mission != 0).sum(1) - 1]
    else:
        code = (words * (mission != 0).unsqueeze(-1)).sum(1)
    x = net.tiles(frames.image.flatten(0, 1).long() + torch.tensor([0, 11, 17])).sum(3).permute(0, 3, 1, 2)
    if options.tile_film:
        factor, summand = net.tile_weight(code)[:, :, None, None], net.tile_bias(code)[:, :, None, None]
        x = (net.tile_conv(x) * (1 + factor) + summand).relu()
    for conv, norm in zip(net.convs, net.norms, strict=True):
        x = norm(conv(x)).relu()
    for block in net.film:
        assert isinstance(block, Film)
        inner = block.conv2(block.norm1(block.conv1(x)).relu())
        factor, summand = block.weight(code)[:, :, None, None], block.bias(code)[:, :, None, None]
        x = x + block.norm2(inner * factor + summand).relu()
    x = functional.max_pool2d(x, x.shape[-1]).flatten(1) if options.pool == "max" else x.movedim(1, -1).flatten(1)
    state = frames.memory
    if options.memory:
        hiddens = []
        for step, inputs in enumerate(x.view(n, steps, -1).unbind(1)):
            kept = [part * ~frames.fresh[:, step, None] for part in state]
            state = net.memory(inputs, tuple(kept))
            hiddens.append(state[0])
        x = torch.stack(hiddens, 1).flatten(0, 1)
    return [net.actor(x).view(n, steps, -1), net.critic(x).view(n, steps), *state]


def spec_of(kind: str, routing: RoutingOptions, init: float = 0.0) -> InventorySpec:
    """Tiny skills of that kind; each kind takes those of rank, density and init that it has."""
    fields = MODULES[kind].Options.model_fields
    values = {name: value for name, value in {**MODULE_FIELDS, "init": init}.items() if name in fields}
    return InventorySpec(modules=SkillOptions.model_validate({"kind": kind, **values}), routing=routing)


def policy_of(
    kind: str, routing: str, options: PolicyOptions = TINY, fresh: bool = False, init: float = 0.0
) -> ModularPolicy:
    policy = build_policy(options, LEVELS, spec_of(kind, ROUTINGS[routing], init), N_WORDS, 0).double()
    if not fresh:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in [*policy.inventory.parameters(), *policy.router.parameters()]:
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
    return policy


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def alone(policy: ModularPolicy, task: int) -> Policy:
    """A plain network with the weights of one task, skill by skill."""
    mix = policy.router(torch.arange(len(policy.router.tasks)), noise())
    assert isinstance(mix, Mix)
    weights = mix.weights.double()[:, 0, task]
    skills = [policy.inventory.skill(index) for index in range(policy.inventory.n_skills)]
    state = {name: tensor.clone() for name, tensor in policy.backbone_state().items()}
    for place, site in enumerate(policy.inventory.sites):
        own = weights[place if len(weights) > 1 else 0]
        layer: Any = policy.network.get_submodule(site).layer
        for name, parameter in layer.named_parameters():
            state[f"{site}.{name}"] += _change(policy.spec, skills, f"{site}/", name, parameter, own)
    plain = Policy(policy.options, N_WORDS).double()
    plain.load_state_dict(state)
    return plain.train(policy.training)


def _change(
    spec: InventorySpec, skills: list[dict[str, Tensor]], site: str, name: str, parameter: Tensor, weights: Tensor
) -> Tensor:
    total = torch.zeros_like(parameter)
    if f"{site}up.{name}" in skills[0]:
        down, up = (
            sum(weight * skill[f"{site}{side}.{name}"][0] for weight, skill in zip(weights, skills, strict=True))
            for side in ("down", "up")
        )
        lora = vars(spec.modules.options)
        product = down @ up * lora["alpha"] / lora["rank"]
        is_table = site in ("tiles/", "words/")
        total = (product if is_table else product.T).reshape(parameter.shape)
    for weight, skill in zip(weights, skills, strict=True):
        if spec.modules.kind == "dense":
            total = total + weight * skill[f"{site}change.{name}"][0]
        elif spec.modules.kind == "sparse" and f"{site}values.{name}" in skill:
            support, values = skill[f"{site}support_{name}"][0], skill[f"{site}values.{name}"][0]
            total.view(-1)[support] += weight * values
    return total
