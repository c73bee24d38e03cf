"""The sites of well-known families of backbones by name, so that a job need not spell out layer names."""

from collections.abc import Mapping, Sequence

from torch import nn

from polyray.errors import InputError
from polyray.modules.matching import candidates
from polyray.modules.structure import presets_by_structure

Parts = Mapping[str, tuple[str, ...]]


def _parts(
    attention: tuple[str, ...],
    ffn: tuple[str, ...],
    ends: tuple[str, ...],
    ia3: tuple[str, ...],
    prefix: tuple[str, ...],
) -> Parts:
    """ends: the last layer of the attention sublayers, then that of the feed-forward sublayer."""
    return {
        "attention": attention,
        "ffn": ffn,
        "all": (*attention, *ffn),
        "houlsby": ends,
        "pfeiffer": ends[-1:],
        "ia3": ia3,
        "prefix": prefix,
    }


_T5 = _parts(
    attention=("*Attention.q", "*Attention.k", "*Attention.v", "*Attention.o"),
    ffn=("DenseReluDense.wi*", "DenseReluDense.wo"),
    ends=("*Attention.o", "DenseReluDense.wo"),
    ia3=("*Attention.k", "*Attention.v", "DenseReluDense.w*[i1]"),  # wi, or wi_1, the linear half of a gated network
    prefix=("layer.*Attention",),
)
_BART = _parts(
    attention=("*_attn.q_proj", "*_attn.k_proj", "*_attn.v_proj", "*_attn.out_proj"),
    ffn=("fc1", "fc2"),
    ends=("*_attn.out_proj", "fc2"),
    ia3=("*_attn.k_proj", "*_attn.v_proj", "fc1"),
    prefix=("*_attn",),
)
_BERT = _parts(
    attention=("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
    ffn=("intermediate.dense", "layer.*[0-9].output.dense"),  # a digit before: not the output of the attention
    ends=("attention.output.dense", "layer.*[0-9].output.dense"),
    ia3=("attention.self.key", "attention.self.value", "intermediate.dense"),
    prefix=("attention.self",),
)
_DISTILBERT = _parts(
    attention=("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
    ffn=("ffn.lin1", "ffn.lin2"),
    ends=("attention.out_lin", "ffn.lin2"),
    ia3=("attention.k_lin", "attention.v_lin", "ffn.lin1"),
    prefix=("layer.*.attention",),
)
_MPNET = _parts(
    attention=("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"),
    ffn=("intermediate.dense", "layer.*[0-9].output.dense"),
    ends=("attention.attn.o", "layer.*[0-9].output.dense"),
    ia3=("attention.attn.k", "attention.attn.v", "intermediate.dense"),
    prefix=(),  # computes its attention without scaled_dot_product_attention
)
_LLAMA = _parts(
    attention=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
    ffn=("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    ends=("self_attn.o_proj", "mlp.down_proj"),
    ia3=("self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj"),
    prefix=("self_attn",),
)
_PHI3 = _parts(
    attention=("self_attn.qkv_proj", "self_attn.o_proj"),
    ffn=("mlp.gate_up_proj", "mlp.down_proj"),
    ends=("self_attn.o_proj", "mlp.down_proj"),
    ia3=(),  # queries, keys and values, gate and input share their layers
    prefix=(),
)
_PHI = _parts(
    attention=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.dense"),
    ffn=("mlp.fc1", "mlp.fc2"),
    ends=("self_attn.dense", "mlp.fc2"),
    ia3=("self_attn.k_proj", "self_attn.v_proj", "mlp.fc1"),
    prefix=("self_attn",),
)
_GPT2 = _parts(
    attention=("attn.c_attn", "attn.c_proj"),
    ffn=("mlp.c_fc", "mlp.c_proj"),
    ends=("attn.c_proj", "mlp.c_proj"),
    ia3=(),  # queries, keys and values share a layer
    prefix=(),
)
_NEOX = _parts(
    attention=("*attention.query_key_value", "*attention.dense"),
    ffn=("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    ends=("*attention.dense", "mlp.dense_4h_to_h"),
    ia3=(),
    prefix=(),
)
_GPTJ = _parts(
    attention=("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.out_proj"),
    ffn=("mlp.fc_in", "mlp.fc_out"),
    ends=("attn.out_proj", "mlp.fc_out"),
    ia3=("attn.k_proj", "attn.v_proj", "mlp.fc_in"),
    prefix=(),  # computes its attention itself, as MPNet
)
_DEBERTA = _parts(
    attention=("attention.self.value_proj", "attention.output.dense"),  # a batch's relative positions, which belong to
    # no example, go through the layers of queries and keys too
    ffn=_BERT["ffn"],
    ends=_BERT["houlsby"],
    ia3=(),
    prefix=(),
)
_MODERNBERT = _parts(
    attention=("attn.Wqkv", "attn.Wo"),
    ffn=("mlp.Wi", "mlp.Wo"),
    ends=("attn.Wo", "mlp.Wo"),
    ia3=(),
    prefix=(),
)
_ALBERT = _parts(
    attention=("attention.query", "attention.key", "attention.value", "attention.dense"),
    ffn=("albert_layers.*.ffn", "albert_layers.*.ffn_output"),
    ends=("attention.dense", "albert_layers.*.ffn_output"),
    ia3=("attention.key", "attention.value", "albert_layers.*.ffn"),
    prefix=("albert_layers.*.attention",),
)

PRESETS: Mapping[str, Parts] = {
    **dict.fromkeys(("t5", "mt5", "umt5"), _T5),
    **dict.fromkeys(("bart", "mbart", "plbart", "marian", "pegasus", "opt"), _BART),
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra"), _BERT),
    "deberta-v2": _DEBERTA,
    "modernbert": _MODERNBERT,
    "albert": _ALBERT,
    "distilbert": _DISTILBERT,
    "mpnet": _MPNET,
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "olmo", "smollm3"), _LLAMA),
    "gemma2": {**_LLAMA, "prefix": ()},
    "phi3": _PHI3,
    "phi": _PHI,
    "gpt2": _GPT2,
    "gptj": _GPTJ,
    **dict.fromkeys(("gpt_neox", "falcon", "bloom"), _NEOX),
}
"""Family (`model_type` of the config) -> preset -> patterns of layer names; heads and embeddings are in none.

attention: queries, keys, values and outputs of self- and cross-attention. ffn: the feed-forward network. all: both.
houlsby: the last layer of every sublayer, pfeiffer: of the feed-forward sublayer only, for bottlenecks. ia3: keys,
values and the feed-forward network's hidden layer. prefix: the attention modules themselves. Empty: not possible.
"""


def site_patterns(family: str, sites: Sequence[str], network: nn.Module) -> tuple[str, ...]:
    """`sites` with the names of presets replaced by patterns of the layers of `network`; other patterns pass unchanged.

    The patterns are those of the family, or the names that `presets_by_structure` finds where it has none.

    Raises:
        InputError: a preset is named, and the network has no such layers.
    """
    names = dict.fromkeys(preset for table in PRESETS.values() for preset in table)
    presets = PRESETS.get(family) or (presets_by_structure(network) if names.keys() & sites else {})
    patterns: list[str] = []
    for site in sites:
        if site in names and not presets[site]:
            raise InputError(
                f"modules.sites={site!r}: this backbone ({family}) has no such layers. Give patterns of layer names; "
                f"layers of it that can carry skills: {candidates(network)}."
            )
        patterns += presets[site] if site in names else [site]
    return tuple(dict.fromkeys(patterns))
