"""A policy on disk: the inventory folder of its skills, with its network as the backbone and the words it reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from polyray.errors import InputError
from polyray.files import writing
from polyray.modules.layout import Layout
from polyray.rl.options import PolicyOptions
from polyray.rl.policy import ModularPolicy, carriers, new_network, on_network
from polyray.skills.card import BackboneCard
from polyray.skills.fingerprint import fingerprint
from polyray.skills.inventory import Provenance, load_inventory, save_inventory

AGENT = "agent"  # the kind of an agent's backbone on cards
NETWORK, WORDS = "network", "words"  # its options there


def save_policy(
    folder: Path, policy: ModularPolicy, words: Sequence[str], seed: int = 0, metrics: Mapping[str, Any] | None = None
) -> None:
    """Write the policy as the inventory folder `folder`, whole or not at all; one that stood there is replaced.

    words: the vocabulary, padding first. seed, metrics: for the skills' cards.

    Raises:
        InputError: `words` are not as many as the policy reads.
    """
    if len(words) != policy.network.n_words:
        raise InputError(f"The policy reads {policy.network.n_words} words, found a vocabulary of {len(words)}.")
    backbone = BackboneCard(
        name="babyai", kind=AGENT, fingerprint=fingerprint(policy.backbone_state()),
        options={NETWORK: policy.options.model_dump(mode="json"), WORDS: list(words)},
    )  # fmt: skip
    provenance = Provenance(backbone=backbone, suite="babyai", tasks=policy.router.tasks.names, data={}, seed=seed)
    with writing(folder) as temporary:
        save_inventory(temporary, policy, policy.spec, provenance, metrics or {})


def load_policy(folder: Path, words: Sequence[str]) -> ModularPolicy:
    """The policy in `folder`, in evaluation mode; `words`: the vocabulary that missions are encoded with now.

    Raises:
        InputError: there is none, it is damaged, or it reads another vocabulary.
    """
    inventory = load_inventory(folder)
    backbone = inventory.card.backbone
    if backbone.kind != AGENT:
        raise InputError(f"{folder} holds skills for the backbone {backbone.name!r}, not those of an agent.")
    _check_words(folder, backbone.options[WORDS], words)
    network = new_network(PolicyOptions.model_validate(backbone.options[NETWORK]), len(words), seed=0)
    router = inventory.router(Layout.of(network, carriers(network), inventory.spec.modules.n_heads))
    policy = on_network(network, inventory.spec, router, torch.Generator().manual_seed(0))
    inventory.restore(policy)
    if fingerprint(policy.backbone_state()) != backbone.fingerprint:
        raise InputError(f"{folder}: the network's weights are not those that its card's fingerprint is of.")
    return policy.eval()


def _check_words(folder: Path, saved: Sequence[str], words: Sequence[str]) -> None:
    if tuple(saved) == tuple(words):
        return
    pairs = enumerate(zip(saved, words, strict=False))
    number = next((number for number, pair in pairs if pair[0] != pair[1]), None)
    if number is None:
        difference = f"it has {len(saved)} words, this one {len(words)}"
    else:
        difference = f"its word {number} is {saved[number]!r}, this one's {words[number]!r}"
    raise InputError(
        f"The policy in {folder} was trained with another vocabulary than missions have now: {difference}. "
        f"Load it with the version of Polyray that wrote it, or train anew."
    )
