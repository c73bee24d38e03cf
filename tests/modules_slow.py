"""Every kind of module by its definition: one example at a time, one skill at a time, in plain tensors."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from polyray.modules.lora import LoraOptions
from polyray.modules.prefix import PrefixOptions
from polyray.modules.stack import StackOptions

Skills = list[dict[str, Tensor]]  # of one site: each skill's tensors [heads, ...] by name


class Attention(nn.Module):
    """Self-attention on scaled_dot_product_attention, masked or grouped as real ones are."""

    def __init__(self, width: int, heads: int, kv_heads: int, mask: str = "none", gqa: bool = False) -> None:
        super().__init__()
        self.head_dim, self.heads, self.kv_heads, self.mask, self.gqa = width // heads, heads, kv_heads, mask, gqa
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, kv_heads * self.head_dim)
        self.v_proj = nn.Linear(width, kv_heads * self.head_dim)

    def allowed(self, n: int) -> Tensor:
        """[n, n], additive; -inf where a query may not look."""
        ones = torch.ones(n, n, dtype=torch.float64)
        if self.mask == "none":
            return ones * 0
        return (torch.arange(n * n).view(n, n) % 7 / 7).masked_fill(ones.triu(1).bool(), -torch.inf).double()

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            p(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        if not self.gqa:
            k, v = (part.repeat_interleave(self.heads // self.kv_heads, 1) for part in (k, v))
        named: dict[str, Any] = {"enable_gqa": True} if self.gqa else {}
        allowed = self.allowed(x.shape[1])
        if self.mask == "bool":
            named["attn_mask"] = allowed.isfinite()[None, None]
        elif self.mask == "float":
            named["attn_mask"] = allowed[None, None].to(x.dtype)
        elif self.mask == "causal":
            named["is_causal"] = True
        out = nn.functional.scaled_dot_product_attention(q, k, v, **named)
        return out.transpose(1, 2).flatten(2)


def _change(layer: nn.Module, changes: Mapping[str, Tensor], x: Tensor) -> Tensor:
    own = {name: p + changes[name].view_as(p) if name in changes else p for name, p in layer.named_parameters()}
    return first(functional_call(layer, own, (x,)))


def _sum(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum(0)


def first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """The hidden states that a layer gives, of recurrent ones too."""
    return (
        output if isinstance(output, Tensor) else torch.cat([part for part in output if isinstance(part, Tensor)], -1)
    )


def lora(layer: nn.Module, skills: Skills, w: Tensor, x: Tensor, options: StackOptions) -> Tensor:
    assert isinstance(options, LoraOptions)
    changes = {}
    for name in [key.removeprefix("down.") for key in skills[0] if key.startswith("down.")]:
        heads = range(w.shape[0])
        down = torch.cat([_sum(w[h, s] * skill[f"down.{name}"][h] for s, skill in enumerate(skills)) for h in heads], 1)
        up = torch.cat([_sum(w[h, s] * skill[f"up.{name}"][h] for s, skill in enumerate(skills)) for h in heads], 1)
        change = options.alpha / options.rank * down.T @ up  # [in, out]
        changes[name] = change if isinstance(layer, nn.Embedding) else change.T.contiguous()
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


def ia3(layer: nn.Module, skills: Skills, w: Tensor, x: Tensor, options: StackOptions) -> Tensor:
    y: Tensor = layer(x)
    return y * (1 + _sum(w[0, s] * skill["delta"][0] for s, skill in enumerate(skills)))


def prefix(layer: nn.Module, skills: Skills, w: Tensor, x: Tensor, options: StackOptions) -> Tensor:
    assert isinstance(layer, Attention) and isinstance(options, PrefixOptions)
    keys, values = (_sum(w[0, s] * skill[n][0] for s, skill in enumerate(skills)) for n in ("keys", "values"))
    n, heads = x.shape[1], []
    for head in range(layer.heads):
        group = head * layer.kv_heads // layer.heads
        own, shared = (slice(i * layer.head_dim, (i + 1) * layer.head_dim) for i in (head, group))
        q, k, v = layer.q_proj(x)[0, :, own], layer.k_proj(x)[0, :, shared], layer.v_proj(x)[0, :, shared]
        scores = q @ torch.cat([keys[group], k]).T / layer.head_dim**0.5
        mask = layer.allowed(n)
        mask = torch.cat([mask.new_zeros(n, options.length), mask if layer.mask == "float" else mask.clamp_max(0)], 1)
        heads.append((scores + mask).softmax(-1) @ torch.cat([values[group], v]))
    return torch.cat(heads, -1)[None]


SLOW: Mapping[str, Callable[[nn.Module, Skills, Tensor, Tensor, StackOptions], Tensor]] = {
    "lora": lora,
    "sparse": sparse,
    "dense": dense,
    "bottleneck": bottleneck,
    "ia3": ia3,
    "prefix": prefix,
}
