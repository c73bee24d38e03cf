"""Backbones of the transformers library, by name or folder."""

import inspect
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from polyray.backbones.backbone import Backbone, Kind
from polyray.backbones.limits import limits
from polyray.backbones.precision import (
    FLOATING,
    DtypeChoice,
    check_dtype,
    dtype_of_file,
    keep_in,
    keep_trainable,
    loading_options,
)
from polyray.backbones.pretrained_text import PretrainedText
from polyray.backbones.quiet import without_reports
from polyray.backbones.text import ByteText, Text
from polyray.backbones.tiny import TINY, build_tiny
from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.reuse import is_reusing, reused
from polyray.skills.card import BackboneDtype
from polyray.skills.fingerprint import fingerprint
from polyray.skills.sparse_delta import POOLER
from polyray.skills.vocabulary import full_backbone

if TYPE_CHECKING:  # loaded with the first model: transformers' classes take a second
    from transformers import PretrainedConfig, PreTrainedModel

BACKBONES: dict[str, str] = {
    **{name: f"{kind}, seeded, byte-level, no download" for name, (kind, _) in TINY.items()},
    "NAME or FOLDER": "any seq2seq, causal or encoder model that transformers loads",
}


def load_backbone(name: str, revision: str = "", dtype: DtypeChoice = "fp32") -> Backbone:
    """Load a tiny backbone, a folder, or a model of the Hugging Face Hub.

    Args:
        dtype: number format of its weights; all but fp32 are for frozen backbones.

    Raises:
        InputError: nothing of that name can be loaded, its file lacks weights of the network, or they cannot have this
            format here.
    """
    check_dtype(name, dtype)
    if not is_reusing():
        return _load(name, revision, dtype)
    pristine = reused(("backbone", name, revision, dtype), lambda: _load(name, revision, dtype))
    return replace(pristine, model=deepcopy(pristine.model), anchors={})  # whoever asked may train it


def _load(name: str, revision: str, dtype: DtypeChoice) -> Backbone:
    if name in TINY:
        kind, model = build_tiny(name)
        backbone = in_memory(name, kind, model, ByteText())
        return cast_backbone(backbone, "bf16") if dtype == "bf16" else backbone
    if name.startswith("tiny-"):
        raise InputError(f"No backbone is called {name!r}. {suggestion(name, TINY)}")
    if Path(name).is_dir():
        name = str(Path(name).absolute())  # cards and checkpoints name it; they are read from other folders
    try:
        return _pretrained(name, revision, dtype)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:  # RuntimeError: tensors of other shapes
        source = "folder" if Path(name).exists() else "name"
        message = str(error).splitlines()[0]
        raise InputError(f"No backbone can be loaded from the {source} {name!r}: {message}") from None


def cast_backbone(backbone: Backbone, dtype: BackboneDtype) -> Backbone:
    """`backbone` with its weights in a floating-point format; its fingerprint stays that of the weights from before."""
    keep_in(backbone.model, FLOATING[dtype])
    backbone.model.config.dtype = FLOATING[dtype]
    return replace(backbone, dtype=dtype)


def _pretrained(name: str, revision: str, dtype: DtypeChoice) -> Backbone:
    """The model of a folder or of the Hub.

    Its fingerprint is of the file's weights as fp32, which holds those of fewer bits exactly; so it is the same for
    every format that they are then loaded in.
    """
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(name, revision=revision or None)
    check_config(name, config)
    kind = kind_of(config)
    chosen = dtype_of_file(name, config) if dtype == "auto" else dtype
    text = PretrainedText(AutoTokenizer.from_pretrained(name, revision=revision or None), kind)
    backbone = in_memory(name, kind, _network(name, revision, config, "fp32"), text)
    if chosen != "fp32":
        exact = backbone.fingerprint
        del backbone  # before the weights are read again: both together would need more memory than either
        model = _network(name, revision, config, chosen)
        backbone = in_memory(name, kind, model, text, exact)
    full = full_backbone(Path(name))
    return replace(backbone, revision=revision, pretrained=True, dtype=chosen, trimmed_from=full)


def _network(name: str, revision: str, config: "PretrainedConfig", dtype: BackboneDtype) -> "PreTrainedModel":
    """The network in evaluation mode, its weights in this format.

    Raises:
        InputError: the file lacks weights of the network, which transformers would draw at random.
    """
    kind = kind_of(config)
    options = {"add_pooling_layer": False} if kind == "encoder" and _may_pool(config) else {}
    with without_reports():
        model, report = auto_class(kind).from_pretrained(
            name, revision=revision or None, output_loading_info=True, **options, **loading_options(dtype)
        )
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(POOLER))
    if missing:
        raise InputError(
            f"{name!r} holds no weights for {len(missing)} tensors of its network, first {missing[0]!r}: it "
            f"was saved from another class ({', '.join(config.architectures or ['unknown'])}) than the one that this "
            f"{kind} backbone needs, {type(model).__name__}. transformers would draw them at random."
        )
    keep_trainable(model)
    network: PreTrainedModel = model.eval()
    return network


def check_config(name: str, config: "PretrainedConfig") -> None:
    """Refuse a model that could be loaded but not used as a backbone.

    Raises:
        InputError: its weights are quantised, or it has layers for each language and its config names none of them.
    """
    fields = config.to_dict()
    if "quantization_config" in fields:
        raise InputError(f"{name!r} holds quantised weights. Give the model that they were made from, and its format.")
    languages = [str(language) for language in fields.get("languages") or ()]
    language = fields.get("default_language")
    if "default_language" in fields and language not in languages:
        reason = "names none" if language is None else f"names {language!r}, which is not among them"
        raise InputError(
            f"{name!r} has layers of its own for each of {len(languages)} languages, and its config {reason}. Save it "
            f'to a folder and write the language of your tasks into its config.json: "default_language": '
            f'"{languages[0] if languages else "en_XX"}". Languages: {", ".join(languages)}.'
        )


def auto_class(kind: Kind) -> Any:
    """transformers' class that loads networks of this kind."""
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    return {"seq2seq": AutoModelForSeq2SeqLM, "causal": AutoModelForCausalLM, "encoder": AutoModel}[kind]


def _may_pool(config: "PretrainedConfig") -> bool:
    """Whether the encoder of this config can be built without the pooler, which no objective uses."""
    from transformers import MODEL_MAPPING

    encoder: Any = MODEL_MAPPING[type(config)]  # a class, though its annotation allows several
    return "add_pooling_layer" in inspect.signature(encoder).parameters


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


def in_memory(name: str, kind: Kind, model: "PreTrainedModel", text: Text, exact: str = "") -> Backbone:
    """`model` with its text, its limits, and the fingerprint of all tensors that it uses.

    exact: that fingerprint where the tensors in `model` are rounded or quantised.
    """
    reach, written_reach = limits(model)
    return Backbone(
        name=name, revision="", kind=kind, family=model.config.model_type, model=model, text=text,
        fingerprint=exact or _fingerprint(model), reach=reach, written_reach=written_reach,
    )  # fmt: skip


def _fingerprint(model: "PreTrainedModel") -> str:
    return fingerprint({key: tensor for key, tensor in model.state_dict().items() if not key.startswith(POOLER)})
