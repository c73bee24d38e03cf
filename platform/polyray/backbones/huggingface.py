"""Backbones of the transformers library, by name or folder."""

from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from polyray.backbones.backbone import Backbone, Kind
from polyray.backbones.text import ByteText, PretrainedText
from polyray.backbones.tiny import TINY, build_tiny
from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.skills.fingerprint import fingerprint

BACKBONES: dict[str, str] = {
    **{name: f"{kind}, seeded, byte-level, no download" for name, (kind, _) in TINY.items()},
    "NAME or FOLDER": "any seq2seq, causal or encoder model that transformers loads",
}

LOADERS: dict[Kind, type] = {"seq2seq": AutoModelForSeq2SeqLM, "causal": AutoModelForCausalLM, "encoder": AutoModel}


def load_backbone(name: str, revision: str = "") -> Backbone:
    """The backbone called `name`: a tiny one, a folder, or a model of the Hugging Face Hub.

    Raises:
        InputError: nothing of that name can be loaded.
    """
    if name in TINY:
        kind, model = build_tiny(name)
        return _backbone(name, "", _kind(kind), model, ByteText())
    if name.startswith("tiny-"):
        raise InputError(f"No backbone is called {name!r}. {suggestion(name, TINY)}")
    if Path(name).is_dir():
        name = str(Path(name).absolute())  # cards and checkpoints name it; they are read from other folders
    try:
        config = AutoConfig.from_pretrained(name, revision=revision or None)
        found = _kind_of(config)
        model = LOADERS[found].from_pretrained(name, revision=revision or None, dtype=torch.float32)  # type: ignore[attr-defined]
        text = PretrainedText(AutoTokenizer.from_pretrained(name, revision=revision or None), found)
    except (OSError, ValueError) as error:
        where = "folder" if Path(name).exists() else "name"
        raise InputError(f"No backbone can be loaded from the {where} {name!r}: {str(error).splitlines()[0]}") from None
    return _backbone(name, revision, found, model.eval(), text)


def _kind(kind: str) -> Kind:
    return next(known for known in LOADERS if known == kind)


def _kind_of(config: PretrainedConfig) -> Kind:
    """By the architecture in the checkpoint: MODEL_FOR_CAUSAL_LM lists BERT too, which nobody means to write with."""
    named = " ".join(config.architectures or [])
    if config.is_encoder_decoder:
        return "seq2seq"
    if "CausalLM" in named or "LMHeadModel" in named:
        return "causal"
    if config.model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return "seq2seq"
    encoders = "MaskedLM" in named or named.endswith("Model") or "Classification" in named
    if not encoders and config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return "causal"
    return "encoder"


def _backbone(
    name: str, revision: str, kind: Kind, model: PreTrainedModel, text: ByteText | PretrainedText
) -> Backbone:
    positions = model.config.to_dict().get("max_position_embeddings")
    return Backbone(
        name=name, revision=revision, kind=kind, family=model.config.model_type, model=model, text=text,
        fingerprint=fingerprint(model.state_dict()), reach=int(positions or 0),
    )  # fmt: skip
