"""The head of a masked language model, as its checkpoint has it."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.backbones.backbone import Backbone
from polyray.backbones.quiet import without_reports

Inverse = Callable[[Tensor], Tensor]
INIT_STD = 0.02  # of fresh weights, as in transformers
# Family -> the names in its checkpoints of the dense layer, the layer norm and the decoder's bias.
NAMES: dict[str, tuple[str, str, str]] = {
    "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
    **dict.fromkeys(("roberta", "xlm-roberta", "mpnet"), ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias")),
    "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
    "electra": ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias"),
}


class MaskedHead(nn.Module):
    """Dense layer, gelu and layer norm; then a decoder that is the network's input embeddings, with a bias.

    Devlin et al. 2019 (arXiv:1810.04805), section 3.1; github.com/google-research/bert. The embeddings stay with the
    network: the head holds `dense`, `norm` and `bias` alone.
    """

    def __init__(self, width: int, embedding_width: int, n_tokens: int, eps: float, generator: torch.Generator) -> None:
        super().__init__()
        self.dense = nn.Linear(width, embedding_width)
        self.norm = nn.LayerNorm(embedding_width, eps=eps)
        self.bias = nn.Parameter(torch.zeros(n_tokens))
        with torch.no_grad():
            self.dense.weight.normal_(0.0, INIT_STD, generator=generator)
            self.dense.bias.zero_()

    def forward(self, hidden: Tensor, embeddings: Tensor, inverse: Inverse | None = None) -> Tensor:
        """The logits of all tokens: hidden [*, width], embeddings [V, E] -> [*, V].

        Args:
            inverse: undoes what skills do to embeddings [*, E], before the decoder.
        """
        hidden = hidden.to(self.dense.weight.dtype)  # of a backbone in bf16
        states: Tensor = self.norm(functional.gelu(self.dense(hidden))).to(embeddings.dtype)
        states = states if inverse is None else inverse(states)
        return functional.linear(states, embeddings, self.bias.to(embeddings.dtype))


def masked_head(backbone: Backbone, generator: torch.Generator) -> MaskedHead:
    """The head of the backbone's own checkpoint where it has one, else a fresh one."""
    n_tokens, embedding_width = backbone.embeddings.shape
    eps = float(backbone.model.config.to_dict().get("layer_norm_eps", 1e-12))
    head = MaskedHead(backbone.width, embedding_width, n_tokens, eps, generator)
    tensors = _of_checkpoint(backbone.name, backbone.revision, backbone.family) if backbone.pretrained else None
    if tensors is not None:
        head.load_state_dict(tensors)
    return head


@lru_cache(maxsize=1)  # every adaptation of a process asks for it again
def _of_checkpoint(name: str, revision: str, family: str) -> dict[str, Tensor] | None:
    """The tensors of a checkpoint's head under the names of MaskedHead; None where it has none.

    transformers reads the whole model for them: it knows every format and every old name of a tensor.
    """
    from transformers import AutoModelForMaskedLM

    if family not in NAMES:
        return None
    with without_reports():
        model, report = AutoModelForMaskedLM.from_pretrained(
            name, revision=revision or None, dtype=torch.float32, output_loading_info=True
        )
    dense, norm, bias = NAMES[family]
    sources = {
        "dense.weight": f"{dense}.weight", "dense.bias": f"{dense}.bias", "norm.weight": f"{norm}.weight",
        "norm.bias": f"{norm}.bias", "bias": bias,
    }  # fmt: skip
    if set(report["missing_keys"]) & set(sources.values()):
        return None
    return {name: model.get_parameter(theirs).detach().clone() for name, theirs in sources.items()}
