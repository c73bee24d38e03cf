"""Number formats in which the weights of a frozen backbone are kept: fp32, bf16, or quantised by bitsandbytes."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from polyray.backbones.tiny import TINY
from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.skills.card import BackboneDtype

if TYPE_CHECKING:  # loaded with the first model: transformers' classes take a second
    from transformers import PretrainedConfig

DtypeChoice = Literal["auto", "fp32", "bf16", "int8", "nf4"]
"""A number format, or auto: the one of the backbone's file."""

SkillsDtype = Literal["card", "auto", "fp32", "bf16", "int8", "nf4"]
"""A number format of the backbone under trained skills, or card: the one that they were trained with."""

REPACKS = "support_avx512bf16_for_cpu"
"""Attribute of bitsandbytes' 4-bit layers: whether evaluation repacks their weights."""

DTYPES: Mapping[str, str] = {
    "auto": "as the backbone's file has them",
    "fp32": "32-bit floating-point",
    "bf16": "16-bit bfloat16",
    "int8": "8-bit integers with a scale for each output (Dettmers et al. 2022, arXiv:2208.07339)",
    "nf4": "4-bit NormalFloat in blocks of 64, scales quantised too (Dettmers et al. 2023, arXiv:2305.14314)",
}
FLOATING: Mapping[BackboneDtype, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
QUANTISED = ("int8", "nf4")
LIBRARIES = ("bitsandbytes", "accelerate")
"""Libraries by which transformers quantises, of the extra `quant`."""


def check_dtype(name: str, dtype: str) -> None:
    """Refuse a number format that the weights of the backbone called `name` cannot have here.

    Raises:
        InputError: it is unknown, a library that it needs is not installed, or the backbone has no file to quantise.
    """
    lookup(DTYPES, dtype, "number format of weights (backbone_dtype)")
    if dtype not in QUANTISED:
        return
    missing = [library for library in LIBRARIES if find_spec(library) is None]
    if missing:
        raise InputError(
            f"backbone_dtype={dtype} needs {' and '.join(missing)}, not installed here: pip install 'polyray[quant]'."
        )
    if name in TINY:
        raise InputError(
            f"backbone_dtype={dtype} quantises the weights of a file, and {name} has none: choose fp32 or bf16, or a "
            "folder or a name on the Hugging Face Hub as the backbone."
        )


def dtype_of_file(name: str, config: "PretrainedConfig") -> BackboneDtype:
    """Number format that a checkpoint's config names; fp32 where it names none.

    Raises:
        InputError: it is another one than fp32 and bf16.
    """
    dtype = config.dtype or config.get_text_config().dtype or torch.float32
    label = str(dtype).removeprefix("torch.")
    names: Mapping[str, BackboneDtype] = {"float32": "fp32", "bfloat16": "bf16"}
    if label not in names:
        raise InputError(
            f"The weights of {name!r} are {label}, which backbone_dtype=auto does not take: gradients through such "
            "layers leave its range. Set backbone_dtype=bf16 or fp32."
        )
    return names[label]


def loading_options(dtype: BackboneDtype) -> dict[str, Any]:
    """Arguments of transformers' `from_pretrained` for weights in this format.

    What a quantised network does not quantise (embeddings, norms, its output layer) is bf16, and so it computes.
    """
    if dtype in FLOATING:
        return {"dtype": FLOATING[dtype]}
    from transformers import BitsAndBytesConfig  # a second, which only quantised backbones need

    of_8_bits = {"load_in_8bit": True}
    of_4_bits = {
        "load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": torch.bfloat16,
    }  # fmt: skip
    quantisation = BitsAndBytesConfig(**(of_8_bits if dtype == "int8" else of_4_bits))
    return {"dtype": torch.bfloat16, "quantization_config": quantisation, "device_map": {"": "cpu"}}


def keep_in(model: nn.Module, dtype: torch.dtype) -> None:
    """Give all parameters of `model` this type; buffers, such as frequencies of rotary positions, keep theirs."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def keep_trainable(model: nn.Module) -> None:
    """Let no 4-bit layer of bitsandbytes repack its weights, as it does in evaluation on CPUs with AVX512-BF16.

    No gradient passes a repacked layer, so that training after an evaluation would silently stop above it.
    """
    for module in model.modules():
        if REPACKS in vars(module):
            setattr(module, REPACKS, False)
