"""A policy on disk: a folder of its skills, its network and router, and the words that it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyray import __version__
from polyray.errors import InputError
from polyray.files import writing
from polyray.modules.attach import attach
from polyray.modules.layout import Layout
from polyray.modules.options import ModuleOptions
from polyray.modules.site import Site
from polyray.rl.network import Policy
from polyray.rl.options import PolicyOptions
from polyray.rl.policy import Form, ModularPolicy, carriers
from polyray.routing import ROUTERS, FixedRouter, LearnedRouter, RoutingOptions
from polyray.skills.fingerprint import fingerprint
from polyray.skills.skill import BackboneCard, Card, Skill, check_sums, load_skill, read_card, save_skill, sha256

__all__ = ["bare_state", "load_policy", "save_policy"]

ABOUT, NETWORK, ROUTER = "policy.json", "network.safetensors", "router.safetensors"


class _About(BaseModel):
    """policy.json"""

    model_config = ConfigDict(frozen=True, extra="forbid")

    options: dict[str, Any]
    module: str
    modules: dict[str, Any]
    routing: str
    router: dict[str, Any]
    tasks: tuple[str, ...]
    skills: tuple[str, ...]
    words: tuple[str, ...]
    polyray: str = __version__
    sha256: dict[str, str] = Field(default_factory=dict)


def save_policy(
    folder: Path, policy: ModularPolicy, words: Sequence[str], seed: int = 0, metrics: Mapping[str, Any] | None = None
) -> None:
    """Write the policy as `folder`, whole or not at all; one that stood there is replaced.

    It holds every skill as the folder skill-N, the network without skills, the router, and the vocabulary `words`
    (padding first). seed, metrics: for the skills' cards.

    Raises:
        InputError: `words` are not as many as the policy reads.
    """
    if len(words) != policy.form.n_words:
        raise InputError(f"The policy reads {policy.form.n_words} words, found a vocabulary of {len(words)}.")
    network, form, inventory = bare_state(policy.network), policy.form, policy.inventory
    tasks = policy.router.tasks.names
    card = Card(
        name="", kind=inventory.kind, backbone=BackboneCard(name="babyai", fingerprint=fingerprint(network)),
        sites=inventory.sites, options=asdict(inventory.options), tasks=tasks, seed=seed, metrics=dict(metrics or {}),
    )  # fmt: skip
    names = tuple(f"skill-{index}" for index in range(inventory.n_skills))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with writing(folder) as temporary:
        for index, name in enumerate(names):
            own = card.model_copy(update={"name": name})
            save_skill(Skill(card=own, tensors=inventory.skill(index)), temporary / name)
        save_file(network, temporary / NETWORK)
        save_file(_contiguous(policy.router.state_dict()), temporary / ROUTER)
        about = _About(
            options=asdict(form.options), module=form.module, modules=asdict(form.modules), routing=form.routing,
            router={**asdict(form.router), "allocation": dict(form.router.allocation)}, tasks=tasks, skills=names,
            words=tuple(words), sha256={name: sha256(temporary / name) for name in (NETWORK, ROUTER)},
        )  # fmt: skip
        (temporary / ABOUT).write_text(about.model_dump_json(indent=1) + "\n", encoding="utf-8")


def load_policy(folder: Path, words: Sequence[str]) -> ModularPolicy:
    """The policy in `folder`, in evaluation mode; `words`: the vocabulary that missions are encoded with now.

    Raises:
        InputError: there is none, it is damaged, or it reads another vocabulary.
    """
    about = read_card(folder / ABOUT, _About, f"{folder} holds no policy")
    check_sums(folder, about.sha256, ABOUT)
    _same_words(folder, about.words, words)
    form = Form(
        options=PolicyOptions(**about.options), module=about.module, modules=ModuleOptions(**about.modules),
        routing=about.routing, router=RoutingOptions(**about.router), n_words=len(words),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        network = Policy(form.options, form.n_words)
    network.load_state_dict(load_file(folder / NETWORK))
    generator = torch.Generator().manual_seed(0)
    layout = Layout.of(network, carriers(network), form.modules.n_splits)
    router = _router(form, about.tasks, layout, load_file(folder / ROUTER))
    inventory = attach(network, layout.sites, form.module, len(about.skills), form.modules, generator)
    for index, name in enumerate(about.skills):
        inventory.load_skill(index, load_skill(folder / name).tensors)
    return ModularPolicy(form, network, inventory, router).eval()


def bare_state(network: Policy) -> dict[str, Tensor]:
    """Parameters and buffers of `network` under the names that they have without skills on it."""
    sites = [name for name, module in network.named_modules() if isinstance(module, Site)]
    state = network.state_dict()
    for site in sites:
        inner = [name for name in state if name.startswith(f"{site}.layer.")]
        state |= {name.replace(f"{site}.layer.", f"{site}.", 1): state.pop(name) for name in inner}
    return _contiguous(dict(sorted(state.items())))


def _router(
    form: Form, tasks: Sequence[str], layout: Layout, state: Mapping[str, Tensor]
) -> LearnedRouter | FixedRouter:
    """Fixed tables may have grown with new levels, so theirs is taken as it was saved."""
    if "table" in state:
        return FixedRouter(tasks, state["table"], is_private=form.routing == "private")
    router = ROUTERS[form.routing](tasks, layout, form.router, torch.Generator().manual_seed(0))
    router.load_state_dict(state)
    assert isinstance(router, LearnedRouter)
    return router


def _same_words(folder: Path, saved: Sequence[str], words: Sequence[str]) -> None:
    if tuple(saved) == tuple(words):
        return
    place = next((n for n, pair in enumerate(zip(saved, words, strict=False)) if pair[0] != pair[1]), None)
    if place is None:
        difference = f"it has {len(saved)} words, this one {len(words)}"
    else:
        difference = f"its word {place} is {saved[place]!r}, this one's {words[place]!r}"
    raise InputError(
        f"The policy in {folder} was trained with another vocabulary than missions have now: {difference}. "
        f"Load it with the version of Polyray that wrote it, or train anew."
    )


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
