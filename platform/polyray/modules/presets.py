"""The sites of well-known families of backbones by name, so that a job need not spell out layer names."""

from collections.abc import Mapping, Sequence

from polyray.errors import InputError

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

PRESETS: Mapping[str, Parts] = {
    **dict.fromkeys(("t5", "mt5", "umt5"), _T5),
    **dict.fromkeys(("bart", "mbart", "plbart"), _BART),
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra"), _BERT),
    "distilbert": _DISTILBERT,
    "mpnet": _MPNET,
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma"), _LLAMA),
    "phi3": _PHI3,
}
"""Family (`model_type` of the backbone's config) -> part -> patterns of layer names; heads and embeddings are in none.

attention: queries, keys, values and outputs of self- and cross-attention. ffn: the feed-forward network. all: both.
houlsby: the last layer of every sublayer, pfeiffer: of the feed-forward sublayer only, for bottlenecks. ia3: keys,
values and the feed-forward network's hidden layer. prefix: the attention modules themselves. Empty: not possible.
"""


def site_patterns(family: str, sites: Sequence[str]) -> tuple[str, ...]:
    """`sites` with every name of a part replaced by that part's patterns for `family`; other patterns pass unchanged.

    Raises:
        InputError: a part is named and the family is unknown or has no such sites.
    """
    parts = dict.fromkeys(preset for table in PRESETS.values() for preset in table)
    patterns: list[str] = []
    for site in sites:
        if site not in parts:
            patterns.append(site)
            continue
        if family not in PRESETS:
            raise InputError(
                f"modules.sites={site!r} is known for these families of backbones: {', '.join(sorted(PRESETS))}. For "
                f"{family!r} give patterns of layer names, for example '*.q_proj'."
            )
        if not PRESETS[family][site]:
            raise InputError(
                f"A {family} backbone has no sites for modules.sites={site!r}; give patterns of layer names."
            )
        patterns += PRESETS[family][site]
    return tuple(dict.fromkeys(patterns))
