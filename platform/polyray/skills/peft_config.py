"""The config of a PEFT adapter, as far as a skill can hold what it describes."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.formats import parse_json_object, read_document

HARMLESS = frozenset({
    "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision", "task_type",
    "exclude_modules", "layers_pattern", "layers_to_transform", "lora_dropout", "runtime_config", "target_modules",
    "bias", "init_lora_weights", "lora_alpha", "r", "use_rslora",  # read_config looks at these
    "fan_in_fan_out",  # the factors are the same, whichever way round the backbone stores its weight
    "eva_config", "megatron_core", "qalora_group_size",  # nothing where what they belong to is off
})  # fmt: skip
"""Fields of PEFT's config that do not change what trained factors compute; any other field must be off."""

DEFAULTS: Mapping[str, Any] = {
    "bias": "none", "init_lora_weights": True, "use_rslora": False, "fan_in_fan_out": False,
}  # fmt: skip

PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Ways to start PEFT's factors that leave the backbone's own weights as they were."""


@dataclass(frozen=True)
class Check:
    """A condition that a field's value fulfils, and its words."""

    fits: Callable[[Any], bool]
    words: str


CHECKS: Mapping[str, Check] = {
    "r": Check(lambda r: type(r) is int and r >= 1, "a whole number from 1"),
    "lora_alpha": Check(lambda x: type(x) in (int, float) and 0 < x <= sys.float_info.max, "a finite number above 0"),
    "use_rslora": Check(lambda x: type(x) is bool, "true or false"),
    "fan_in_fan_out": Check(lambda x: type(x) is bool, "true or false"),
}
"""Field -> the values that it may have."""


def read_config(file: Path) -> dict[str, Any]:
    """The config in `file`, checked to describe a plain LoRA; fields that it leaves out have PEFT's own defaults.

    Raises:
        InputError: it cannot be read, or describes something that a skill cannot hold.
    """
    try:
        text = read_document(file)
    except InputError as error:
        raise InputError(f"{file.parent} holds no PEFT adapter: {error}") from None
    config = parse_json_object(text, file)
    if config.get("peft_type") != "LORA":
        raise InputError(f"{file}: peft_type is {config.get('peft_type')!r}; only 'LORA' becomes a skill.")
    for field, check in CHECKS.items():
        if not check.fits(config.get(field, DEFAULTS.get(field))):
            raise InputError(f"{file}: {field}={config.get(field)!r}; expected {check.words}.")
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
