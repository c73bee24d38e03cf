"""Every kind of module by its definition: one example at a time, one skill at a time, in plain tensors."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import AttentionInterface, PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from polyray.modules.lora import LoraOptions
from polyray.modules.prefix import PrefixOptions
from polyray.modules.stack import StackOptions

Skills = list[dict[str, Tensor]]  # of one site: each skill's tensors [heads, ...] by name


class Attention(nn.Module):
    """Self-attention by transformers' registry, masked, biased or grouped as its models are."""

    def __init__(self, width: int, heads: int, kv_heads: int, mask: str = "none", biased: bool = False) -> None:
        super().__init__()
        self.head_dim, self.heads, self.kv_heads, self.mask, self.biased = width // heads, heads, kv_heads, mask, biased
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, kv_heads * self.head_dim)
        self.v_proj = nn.Linear(width, kv_heads * self.head_dim)
        self.config: Any = PreTrainedConfig()
        self.config._attn_implementation = "sdpa"
        self.is_causal, self.num_key_value_groups = mask == "causal", heads // kv_heads

    def allowed(self, n: int) -> Tensor:
        """[n, n], additive; -inf where a query may not look."""
        ones = torch.ones(n, n, dtype=torch.float64)
        if self.mask == "none":
            return ones * 0
        return (torch.arange(n * n).view(n, n) % 7 / 7).masked_fill(ones.triu(1).bool(), -torch.inf).double()

    def bias(self, n: int) -> Tensor:
        """[heads, n, n], zero where there is none."""
        return torch.arange(self.heads * n * n).view(self.heads, n, n).double().cos() * self.biased

    def forward(self, x: Tensor, **options: Any) -> Tensor:
        q, k, v = (
            p(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        allowed = self.allowed(x.shape[1])[None, None]
        mask = {"bool": allowed.isfinite(), "float": allowed.to(x.dtype)}.get(self.mask)
        bias = self.bias(x.shape[1])[None].to(x.dtype) if self.biased else None
        function = AttentionInterface().get_interface(self.config._attn_implementation, self.eager)
        output: Tensor = function(self, q, k, v, mask, scaling=self.head_dim**-0.5, position_bias=bias, **options)[0]
        return output.flatten(2)

    def eager(self, module: nn.Module, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, **_: Any) -> tuple[Tensor, None]:
        """Stands for a model's own attention: its numbers do not matter."""
        return q.transpose(1, 2), None


def _change(layer: nn.Module, changes: Mapping[str, Tensor], x: Tensor) -> Tensor:
    changed = {name: p + changes[name].view_as(p) if name in changes else p for name, p in layer.named_parameters()}
    return first(functional_call(layer, changed, (x,)))


def _sum(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum(0)


def first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """The hidden states that a layer gives, of recurrent ones too."""
    return output if isinstance(output, Tensor) else torch.cat([x for x in output if isinstance(x, Tensor)], -1)


def lora(layer: nn.Module, skills: Skills, w: Tensor, x: Tensor, options: StackOptions) -> Tensor:
    assert isinstance(options, LoraOptions)
    changes = {}
    for name in [key.removeprefix("down.") for key in skills[0] if key.startswith("down.")]:
        heads = range(w.shape[0])
        down = torch.cat([_sum(w[h, s] * skill[f"down.{name}"][h] for s, skill in enumerate(skills)) for h in heads], 1)
        up = torch.cat([_sum(w[h, s] * skill[f"up.{name}"][h] for s, skill in enumerate(skills)) for h in heads], 1)
        change = options.alpha / options.rank * down.T @ up  # [in, out]
        changes[name] = change if isinstance(layer, nn.Embedding | Conv1D) else change.T.contiguous()
    return _change(layer, changes, x)


def sparse(layer: nn.Module, skills: Skills, w: Tensor, x: Tensor, options: StackOptions) -> Tensor:
    changes = {}
    for name, p in layer.named_parameters():
        if f"values.{name}" not in skills[0]:
            continue
        changes[name] = torch.zeros(p.numel(), dtype=p.dtype)
        for s, skill in enumerate(skills):
            alone = torch.zeros_like(changes[name])
            alone[skill[f"support_{name}"][0]] = skill[f"values.{name}"][0]
            changes[name] += w[0, s] * alone
    return _change(layer, changes, x)


def dense(layer: nn.Module, skills: Skills, w: Tensor, x: Tensor, options: StackOptions) -> Tensor:
    names = [name for name, _ in layer.named_parameters()]
    return _change(
        layer, {n: _sum(w[0, s] * skill[f"change.{n}"][0] for s, skill in enumerate(skills)) for n in names}, x
    )


def bottleneck(layer: nn.Module, skills: Skills, w: Tensor, x: Tensor, options: StackOptions) -> Tensor:
    y: Tensor = layer(x)
    total = y
    for s, skill in enumerate(skills):
        hidden = (y @ skill["down"][0] + skill["down_bias"][0]).clamp_min(0)
        total = total + w[0, s] * (hidden @ skill["up"][0] + skill["up_bias"][0])
    return total


def mad_x(layer: nn.Module, skills: Skills, w: Tensor, x: Tensor, options: StackOptions) -> Tensor:
    if not isinstance(layer, nn.LayerNorm):
        bare = [{name.removeprefix("adapter."): tensor for name, tensor in skill.items()} for skill in skills]
        return bottleneck(layer, bare, w, x, options)
    a, b = layer(x).chunk(2, -1)
    for half in ("first", "second"):
        one = [
            {name.removeprefix(f"adapter.{half}."): x for name, x in skill.items() if half in name} for skill in skills
        ]
        if half == "first":
            a = a + bottleneck(nn.Identity(), one, w, b, options) - b
        else:
            b = b + bottleneck(nn.Identity(), one, w, a, options) - a
    return torch.cat([a, b], -1)


def ia3(layer: nn.Module, skills: Skills, w: Tensor, x: Tensor, options: StackOptions) -> Tensor:
    y: Tensor = layer(x)
    return y * (1 + _sum(w[0, s] * skill["delta"][0] for s, skill in enumerate(skills)))


def prefix(layer: nn.Module, skills: Skills, w: Tensor, x: Tensor, options: StackOptions) -> Tensor:
    assert isinstance(layer, Attention) and isinstance(options, PrefixOptions)
    keys, values = (_sum(w[0, s] * skill[n][0] for s, skill in enumerate(skills)) for n in ("keys", "values"))
    n, heads = x.shape[1], []
    for head in range(layer.heads):
        group = head * layer.kv_heads // layer.heads
        queries, shared = (slice(i * layer.head_dim, (i + 1) * layer.head_dim) for i in (head, group))
        q, k, v = layer.q_proj(x)[0, :, queries], layer.k_proj(x)[0, :, shared], layer.v_proj(x)[0, :, shared]
        scores = q @ torch.cat([keys[group], k]).T / layer.head_dim**0.5
        mask = layer.allowed(n)
        mask = (mask if layer.mask == "float" else mask.clamp_max(0)) + layer.bias(n)[head]
        mask = torch.cat([mask.new_zeros(n, options.length), mask], 1)
        heads.append((scores + mask).softmax(-1) @ torch.cat([values[group], v]))
    return torch.cat(heads, -1)[None]


SLOW: Mapping[str, Callable[[nn.Module, Skills, Tensor, Tensor, StackOptions], Tensor]] = {
    "lora": lora,
    "sparse": sparse,
    "dense": dense,
    "bottleneck": bottleneck,
    "ia3": ia3,
    "prefix": prefix,
    "mad_x": mad_x,
}
