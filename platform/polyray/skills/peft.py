"""LoRA skills as PEFT adapters and back; PEFT itself is not needed."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyray.errors import InputError
from polyray.files import writing
from polyray.lookup import lookup
from polyray.modules.lora import LoraOptions
from polyray.skills.card import BackboneCard, Card
from polyray.skills.skill import Skill

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
FACTOR = re.compile(r"base_model\.model\.(?P<site>.+)\.lora_(?P<factor>[AB])\.weight")

TASK_TYPES: Mapping[str, str] = {
    "CAUSAL_LM": "decoders",
    "FEATURE_EXTRACTION": "hidden states",
    "QUESTION_ANS": "spans",
    "SEQ_2_SEQ_LM": "encoders with decoders",
    "SEQ_CLS": "classification",
    "TOKEN_CLS": "tagging",
}

HARMLESS = frozenset({
    "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision", "task_type",
    "exclude_modules", "layers_pattern", "layers_to_transform", "lora_dropout", "runtime_config", "target_modules",
    "bias", "init_lora_weights", "lora_alpha", "r", "use_rslora",  # import_peft looks at these
    "eva_config", "megatron_core", "qalora_group_size",  # nothing where what they belong to is off
})  # fmt: skip
"""Fields of PEFT's config that do not change what trained factors compute; any other field must be off."""

DEFAULTS: Mapping[str, Any] = {"bias": "none", "init_lora_weights": True, "use_rslora": False}

PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Ways to start PEFT's factors that leave the backbone's own weights as they were."""


def export_peft(skill: Skill, folder: Path, *, task_type: str | None = None) -> None:
    """Write a LoRA skill as a folder that `peft.PeftModel.from_pretrained` loads; one that stood there is replaced.

    The skill's sites are linear layers. The heads of multi-head routing are joined, so one skill, or the one that
    `Inventory.blend` makes of a task's mix, becomes an ordinary LoRA with the same alpha and rank.

    Raises:
        InputError: the skill is no LoRA, sits on other weights than linear layers', or `task_type` is unknown to PEFT.
    """
    card = skill.card
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
    factors = {}
    for site in card.sites:
        down, up = skill.tensors[f"{site}/down.weight"], skill.tensors[f"{site}/up.weight"]
        factors[f"base_model.model.{site}.lora_A.weight"] = down.transpose(0, 1).flatten(1).contiguous()  # [rank, in]
        factors[f"base_model.model.{site}.lora_B.weight"] = up.transpose(1, 2).flatten(0, 1).contiguous()  # [out, rank]
    with writing(folder) as temporary:
        save_file(factors, temporary / WEIGHTS, metadata={"format": "pt"})
        (temporary / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def import_peft(
    folder: Path,
    *,
    name: str,
    backbone: BackboneCard,
    tasks: Sequence[str] = (),
    metrics: Mapping[str, Any] | None = None,
) -> Skill:
    """The LoRA adapter that PEFT saved in `folder` as a skill called `name` on `backbone`.

    The skill's alpha is PEFT's, times sqrt(rank) where the adapter uses rank-stabilised scaling.

    Raises:
        InputError: a file is missing or unreadable, the adapter is no LoRA on linear layers of one rank, or it uses
            something that a skill cannot hold (DoRA, biases, whole modules, ranks or alphas of their own, ...).
    """
    config = _config(folder / CONFIG)
    rank, alpha = config["r"], float(config["lora_alpha"])
    factors = _factors(folder)
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


def _config(file: Path) -> dict[str, Any]:
    """PEFT's config, checked to describe a plain LoRA."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file.parent} holds no PEFT adapter: cannot read {file}: {error}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{file}:{error.lineno} is not valid JSON: {error.msg}.") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        peft_type = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        raise InputError(f"{file}: peft_type is {peft_type!r}; only 'LORA' becomes a skill.")
    if not isinstance(config.get("r"), int) or not isinstance(config.get("lora_alpha"), int | float):
        raise InputError(f"{file}: r and lora_alpha must be numbers.")
    on = [field for field, value in config.items() if field not in HARMLESS and value]
    if on:
        raise InputError(f"{file}: {on[0]}={config[on[0]]!r} is something that a skill cannot hold; it must be off.")
    config = {**DEFAULTS, **config}
    if config["bias"] != "none":
        raise InputError(f"{file}: bias={config['bias']!r}: a LoRA skill holds no biases; it must be 'none'.")
    start = config["init_lora_weights"]
    if start not in PLAIN_STARTS:
        raise InputError(
            f"{file}: init_lora_weights={start!r} changed the backbone's weights; let PEFT convert the adapter to a "
            "plain LoRA when it saves it (path_initial_model_for_weight_conversion)."
        )
    return config


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
            raise InputError(f"{file}: {key} {list(tensor.shape)} is no LoRA factor of a linear layer.")
        factors[matched["site"], matched["factor"]] = tensor
    if not factors:
        raise InputError(f"{file} holds no tensors.")
    return factors


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
