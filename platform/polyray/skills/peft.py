"""LoRA skills as PEFT adapters and back; PEFT itself is not needed."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.files import write_file, writing
from polyray.lookup import lookup
from polyray.modules.layers import linear_widths, transposed
from polyray.modules.lora import LoraOptions
from polyray.modules.matching import candidates
from polyray.skills.card import BackboneCard, Card
from polyray.skills.peft_config import read_config
from polyray.skills.skill import Skill
from polyray.skills.tensors import save_tensors

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
FACTOR = re.compile(r"base_model\.model\.(?P<site>.+)\.lora_(?P<factor>[AB])\.weight")
OUTSIDE = re.compile(r"lm_head|embed|\bwte\b|\bshared\b|modules_to_save|base_layer")
"""Names in PEFT's files of what lies outside the blocks."""

TASK_TYPES: Mapping[str, str] = {
    "CAUSAL_LM": "decoders",
    "FEATURE_EXTRACTION": "hidden states",
    "QUESTION_ANS": "spans",
    "SEQ_2_SEQ_LM": "encoders with decoders",
    "SEQ_CLS": "classification",
    "TOKEN_CLS": "tagging",
}


def export_peft(
    skill: Skill, folder: Path | str, *, task_type: str | None = None, network: nn.Module | None = None
) -> None:
    """Write a LoRA skill as a folder that `peft.PeftModel.from_pretrained` loads; one that stood there is replaced.

    The skill's sites are linear layers. The heads of multi-head routing are joined, so one skill, or the one that
    `Inventory.blend` makes of a task's mix, becomes an ordinary LoRA with the same alpha and rank.

    Args:
        network: the backbone, with or without values, which shows layers that store their weights transposed, as
            GPT-2's do. Without it PEFT finds that out itself when it loads the adapter, with a warning.

    Raises:
        InputError: the skill is no LoRA, sits on other weights than linear layers' or on layers that
            `network` lacks, or `task_type` is unknown to PEFT.
    """
    card, folder = skill.card, Path(folder)
    if card.kind != "lora":
        raise InputError(f"Skill {card.name!r} has modules.kind={card.kind}; PEFT's LoRA takes modules.kind=lora.")
    if task_type is not None:
        lookup(TASK_TYPES, task_type, "PEFT task type")
    odd = [name for name in skill.tensors if not name.endswith(("/down.weight", "/up.weight"))]
    if odd:
        raise InputError(f"PEFT's LoRA sits on linear layers; skill {card.name!r} also holds {odd[0]!r}.")
    alpha = float(card.options["alpha"])
    config = {
        "peft_type": "LORA",
        "task_type": task_type,
        "base_model_name_or_path": card.backbone.name,
        "revision": card.backbone.revision or None,
        "inference_mode": True,
        "r": card.options["rank"],
        "lora_alpha": int(alpha) if alpha.is_integer() else alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(card.sites),
    }
    if network is not None:
        modules = dict(network.named_modules())
        missing = [site for site in card.sites if site not in modules]
        if missing:
            raise InputError(f"The backbone has no layer {missing[0]!r}, on which the skill {card.name!r} sits.")
        config["fan_in_fan_out"] = all(transposed(modules[site]) for site in card.sites)
    factors = {}
    for site in card.sites:
        down, up = skill.tensors[f"{site}/down.weight"], skill.tensors[f"{site}/up.weight"]
        factors[f"base_model.model.{site}.lora_A.weight"] = down.transpose(0, 1).flatten(1).contiguous()  # [rank, in]
        factors[f"base_model.model.{site}.lora_B.weight"] = up.transpose(1, 2).flatten(0, 1).contiguous()  # [out, rank]
    with writing(folder) as temporary:
        save_tensors(factors, temporary / WEIGHTS, metadata={"format": "pt"})
        write_file(temporary / CONFIG, json.dumps(config, indent=2) + "\n")


def import_peft(
    folder: Path | str,
    *,
    name: str,
    backbone: BackboneCard,
    tasks: Sequence[str] = (),
    metrics: Mapping[str, Any] | None = None,
    network: nn.Module | None = None,
) -> Skill:
    """The LoRA adapter that PEFT saved in `folder` as a skill called `name` on `backbone`.

    The skill's alpha is PEFT's, times sqrt(rank) where the adapter uses rank-stabilised scaling.

    Args:
        network: the backbone. The adapter's layers are then checked against it, and found where the adapter was trained
            with or without a head and they are called `bert.encoder...` there, `encoder...` here.

    Raises:
        InputError: a file is missing or unreadable, the adapter is no LoRA on linear layers of one rank, it uses
            something that a skill cannot hold (DoRA, biases, whole modules, ranks or alphas of their own, ...), or
            `network` lacks its layers.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG)
    rank, alpha = config["r"], float(config["lora_alpha"])
    factors = _factors(folder)
    if network is not None:
        factors = _on_network(folder / WEIGHTS, factors, network)
    sites = sorted({site for site, _ in factors}, key=_natural)
    tensors = {}
    for site in sites:
        down, up = (_factor(folder, factors, site, which, rank) for which in ("A", "B"))
        tensors[f"{site}/down.weight"] = down.contiguous()[None]  # [1, rank, in]
        tensors[f"{site}/up.weight"] = up.T.contiguous()[None]  # [1, rank, out]
    options = LoraOptions(rank=rank, alpha=alpha * math.sqrt(rank) if config["use_rslora"] else alpha)
    card = Card(
        name=name, kind="lora", backbone=backbone, sites=tuple(sites), options=options.model_dump(mode="json"),
        tasks=tuple(tasks), metrics=dict(metrics or {}),
    )  # fmt: skip
    return Skill(card=card, tensors=tensors)


def _factors(folder: Path) -> dict[tuple[str, str], Tensor]:
    file = folder / WEIGHTS
    if not file.exists() and (folder / PICKLED).exists():
        raise InputError(
            f"{folder / PICKLED} is a pickle, which may run code: save the adapter as {WEIGHTS} with PEFT."
        )
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise InputError(f"Cannot read {file}: {error}") from None
    factors = {}
    for key, tensor in tensors.items():
        matched = FACTOR.fullmatch(key)
        if matched is None or tensor.dim() != 2:
            raise InputError(f"{file}: {key} {list(tensor.shape)} is no LoRA factor of a linear layer.{_hint(key)}")
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise InputError(f"{file}: {key} ({tensor.dtype}) holds something else than finite floating-point numbers.")
        factors[matched["site"], matched["factor"]] = tensor
    if not factors:
        raise InputError(f"{file} holds no tensors.")
    return factors


def _hint(key: str) -> str:
    """The remedy where an adapter also holds an output layer or embeddings."""
    if not OUTSIDE.search(key):
        return ""
    return (
        " The adapter was trained on the output layer or the embeddings too, which a skill does not hold: leave "
        "lm_head and embeddings out of PEFT's target_modules and modules_to_save, and save with "
        "save_embedding_layers=False."
    )


def _on_network(
    file: Path, factors: Mapping[tuple[str, str], Tensor], network: nn.Module
) -> dict[tuple[str, str], Tensor]:
    """The factors under the names that their layers have in `network`.

    Raises:
        InputError: it has no such layer, or one of other widths.
    """
    modules = dict(network.named_modules())
    base = f"{getattr(network, 'base_model_prefix', '')}."  # of transformers' models
    renamed = {}
    for (site, which), tensor in factors.items():
        names = (site, site.removeprefix(base), base + site)
        name = next((name for name in names if name in modules), "")
        if not name:
            raise InputError(
                f"{file}: the backbone has no layer {site!r}. Its layers that can carry skills: {candidates(network)}."
            )
        widths = linear_widths(modules[name])
        if widths is None or tensor.shape[1 if which == "A" else 0] != widths[which == "B"]:
            raise InputError(
                f"{file}: lora_{which} of {site} has the shape {list(tensor.shape)}; the backbone's layer has "
                f"{'no inputs and outputs' if widths is None else f'{widths[0]} inputs and {widths[1]} outputs'}."
            )
        renamed[name, which] = tensor
    return renamed


def _factor(folder: Path, factors: Mapping[tuple[str, str], Tensor], site: str, which: str, rank: int) -> Tensor:
    tensor = factors.get((site, which))
    if tensor is None:
        raise InputError(f"{folder / WEIGHTS}: {site} has no lora_{which}.")
    if tensor.shape[0 if which == "A" else 1] != rank:
        raise InputError(
            f"{folder / WEIGHTS}: lora_{which} of {site} has the shape {list(tensor.shape)}, not the rank r={rank}."
        )
    return tensor


def _natural(site: str) -> list[tuple[bool, int, str]]:
    """Block 2 before block 10."""
    return [(word.isdigit(), int(word) if word.isdigit() else 0, word) for word in site.split(".")]
