"""Diagonal Fisher information in batches equals one backward pass an example, for every kind of layer."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
import torch
from gathering import for_each
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from polyray.errors import InputError
from polyray.fisher import DiagonalFisher, fisher_plainly, rules

SIZES: dict[str, Any] = {"vocab_size": 30, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
BATCH, LENGTH = 5, 7


def t5(**more: Any) -> PreTrainedModel:
    sizes: dict[str, Any] = {**SIZES, "decoder_start_token_id": 0, **more}
    config = T5Config(d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4, dropout_rate=0.0, **sizes)
    return T5ForConditionalGeneration(config)


def untied_t5() -> PreTrainedModel:
    model = t5(feed_forward_proj="gated-gelu")
    model.lm_head.weight = nn.Parameter(torch.randn(30, 16) * 0.1)
    return model


def bert(**more: Any) -> BertConfig:
    return BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, **SIZES, **more,
    )  # fmt: skip


def gpt2() -> PreTrainedModel:
    config = GPT2Config(n_embd=16, n_layer=2, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **SIZES)
    return GPT2LMHeadModel(config)


def llama() -> PreTrainedModel:
    return LlamaForCausalLM(
        LlamaConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, **SIZES)
    )


def bart() -> PreTrainedModel:
    return BartForConditionalGeneration(
        BartConfig(
            d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=24, decoder_ffn_dim=24, dropout=0.0,
            encoder_attention_heads=2, decoder_attention_heads=2, activation_dropout=0.0, scale_embedding=True,
            decoder_start_token_id=2, **SIZES,
        )
    )  # fmt: skip


NETWORKS: dict[str, Callable[[], PreTrainedModel]] = {
    "t5, tied": t5,
    "t5, untied": untied_t5,
    "gpt2": gpt2,
    "llama": llama,
    "bart": bart,
    "bert, masked": lambda: BertForMaskedLM(bert()),
    "bert, classes": lambda: BertForSequenceClassification(bert(num_labels=3)),
}


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Tokens of which some examples have fewer, their mask, and labels of which some do not count."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 30, (BATCH, LENGTH), generator=generator)
    mask = torch.arange(LENGTH) < torch.tensor([7, 4, 6, 7, 2])[:, None]
    ids = ids * mask
    labels = torch.randint(3, 30, (BATCH, LENGTH), generator=generator).masked_fill(~mask, -100)
    return ids, mask.long(), labels


def losses(model: PreTrainedModel, rows: slice = slice(None)) -> Tensor:
    """Negative log-likelihood of each example of some rows of the batch."""
    ids, mask, labels = (x[rows] for x in batch())
    if model.config.is_encoder_decoder:
        logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=labels.clamp_min(0)).logits
    else:
        logits = model(input_ids=ids, attention_mask=mask).logits
    if logits.dim() == 2:
        return functional.cross_entropy(logits, labels[:, 0] % 3, reduction="none")
    return functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape).sum(1)


def plainly(model: PreTrainedModel) -> dict[str, Tensor]:
    examples = [partial(losses, model, slice(n, n + 1)) for n in range(BATCH)]
    return fisher_plainly(dict(model.named_parameters()), examples)


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    overall = max(float(x.max()) for x in second.values())
    for name, tensor in first.items():
        scale = max(float(second[name].max()), 1e-6 * overall)  # a key's bias has no gradient but rounding
        torch.testing.assert_close(tensor / scale, second[name] / scale, rtol=1e-4, atol=1e-5, msg=name)


@for_each(name=list(NETWORKS))
def test_batches_give_what_one_example_after_the_other_gives(name: str) -> None:
    torch.manual_seed(0)
    model = NETWORKS[name]().eval()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    fisher = DiagonalFisher(model)
    fisher.add(lambda: losses(model), BATCH)
    expected = plainly(model)
    assert_equal(fisher.sums, expected)
    assert all(float(total.sum()) > 0 for name, total in fisher.sums.items() if "pooler" not in name)
    assert fisher.n_squares == BATCH
    torch.testing.assert_close(fisher.mean()[next(iter(expected))], fisher.sums[next(iter(expected))] / BATCH)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks and "compute_bias" not in vars(module)


@for_each(sizes=[(2, 3), (1, 1, 1, 1, 1), (4, 1)])
def test_the_size_of_batches_changes_nothing(sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = t5().eval()
    whole, pieces = DiagonalFisher(model), DiagonalFisher(model)
    whole.add(lambda: losses(model), BATCH)
    start = 0
    for size in sizes:
        rows = slice(start, start + size)
        pieces.add(partial(losses, model, rows), size)
        start += size
    assert_equal(pieces.sums, whole.sums)


class Odd(nn.Module):
    """Convolution, a layer called twice, a parameter beside layers, a norm with a weight of its own making."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(3, 4, 2)
        self.twice = nn.Linear(4, 4)
        self.norm = nn.GroupNorm(2, 4)
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.convolution(x)).mT
        outputs: Tensor = self.scale * self.twice(torch.tanh(self.twice(hidden)))
        return outputs.square().sum((1, 2))


def test_convolutions_repeated_layers_and_parameters_of_their_own() -> None:
    torch.manual_seed(0)
    network, x = Odd(), torch.randn(BATCH, 3, 6)
    fisher = DiagonalFisher(network)
    fisher.add(lambda: network(x), BATCH)
    examples = [partial(network, x[n : n + 1]) for n in range(BATCH)]
    assert_equal(fisher.sums, fisher_plainly(dict(network.named_parameters()), examples))


def test_large_weights_are_summed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = gpt2().eval()
    whole = DiagonalFisher(model)
    whole.add(lambda: losses(model), BATCH)
    monkeypatch.setattr(rules, "BLOCK", 40)
    blocks = DiagonalFisher(model)
    blocks.add(lambda: losses(model), BATCH)
    assert_equal(blocks.sums, whole.sums)


def test_only_the_parameters_asked_for_are_summed() -> None:
    torch.manual_seed(0)
    model = llama().eval()
    some = DiagonalFisher(model, lambda name: "mlp" in name)
    some.add(lambda: losses(model), BATCH)
    everything = plainly(model)
    assert_equal(some.sums, {name: x for name, x in everything.items() if "mlp" in name})


def test_the_square_of_a_batch_gradient_is_something_else() -> None:
    torch.manual_seed(0)
    model = llama().eval()
    fisher = DiagonalFisher(model)
    fisher.add(lambda: losses(model), BATCH)
    gradients = torch.autograd.grad(losses(model).sum(), list(model.parameters()))
    differences: Iterable[Tensor] = (
        (gradient.square() - total).norm() / total.norm()
        for gradient, total in zip(gradients, fisher.sums.values(), strict=True)
    )
    assert max(map(float, differences)) > 0.3


def test_what_cannot_be_summed_is_refused() -> None:
    network = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(InputError, match="one loss an example"):
        DiagonalFisher(network).add(lambda: network(torch.ones(4, 3)).sum(), 4)
    with pytest.raises(InputError, match="no dimension of the 4 examples"):
        DiagonalFisher(network).add(lambda: network(torch.ones(2, 3)).sum(1).repeat(2), 4)
    with pytest.raises(InputError, match="None of the network's parameters"):
        DiagonalFisher(network, lambda name: False)
