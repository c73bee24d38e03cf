"""Backbones of the transformers library, by name or folder."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from polyray.backbones.backbone import Backbone, Kind
from polyray.backbones.text import ByteText, PretrainedText
from polyray.backbones.tiny import TINY, build_tiny
from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.skills.fingerprint import fingerprint

if TYPE_CHECKING:  # loaded with the first model: transformers' classes take a second
    from transformers import PretrainedConfig, PreTrainedModel

BACKBONES: dict[str, str] = {
    **{name: f"{kind}, seeded, byte-level, no download" for name, (kind, _) in TINY.items()},
    "NAME or FOLDER": "any seq2seq, causal or encoder model that transformers loads",
}


def load_backbone(name: str, revision: str = "") -> Backbone:
    """Load a tiny backbone, a folder, or a model of the Hugging Face Hub.

    Raises:
        InputError: nothing of that name can be loaded.
    """
    if name in TINY:
        kind, model = build_tiny(name)
        return _backbone(name, "", kind, model, ByteText(), pretrained=False)
    if name.startswith("tiny-"):
        raise InputError(f"No backbone is called {name!r}. {suggestion(name, TINY)}")
    if Path(name).is_dir():
        name = str(Path(name).absolute())  # cards and checkpoints name it; they are read from other folders
    try:
        kind, model, text = _pretrained(name, revision or None)
    except (OSError, ValueError) as error:
        source = "folder" if Path(name).exists() else "name"
        message = str(error).splitlines()[0]
        raise InputError(f"No backbone can be loaded from the {source} {name!r}: {message}") from None
    return _backbone(name, revision, kind, model.eval(), text, pretrained=True)


def _pretrained(name: str, revision: str | None) -> "tuple[Kind, PreTrainedModel, PretrainedText]":
    """Kind, network and tokenizer of a folder or of a model of the Hub."""
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    loaders = {"seq2seq": AutoModelForSeq2SeqLM, "causal": AutoModelForCausalLM, "encoder": AutoModel}
    kind = kind_of(AutoConfig.from_pretrained(name, revision=revision))
    model = loaders[kind].from_pretrained(name, revision=revision, dtype=torch.float32)
    return kind, model, PretrainedText(AutoTokenizer.from_pretrained(name, revision=revision), kind)


def kind_of(config: "PretrainedConfig") -> Kind:
    """Kind by the architecture in the checkpoint; transformers' causal models alone would list BERT as a writer."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    )

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
    name: str, revision: str, kind: Kind, model: "PreTrainedModel", text: ByteText | PretrainedText, *, pretrained: bool
) -> Backbone:
    """`model` with its text, its fingerprint and the number of positions that it has."""
    positions = model.config.to_dict().get("max_position_embeddings")
    return Backbone(
        name=name, revision=revision, kind=kind, family=model.config.model_type, model=model, text=text,
        fingerprint=fingerprint(model.state_dict()), reach=int(positions or 0), pretrained=pretrained,
    )  # fmt: skip
