"""Sites of a backbone by the names and shapes of its layers, for families without a preset."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from torch import nn

from polyray.modules.layers import is_plain_linear, linear_widths
from polyray.modules.prefix import takes_prefixes

ATTENTION = re.compile(r"att(?:n|ention)", re.IGNORECASE)
FEED_FORWARD = re.compile(r"mlp|ffn|feed_?forward|dense_?relu", re.IGNORECASE)
RECURRENT = re.compile(r"mamba|ssm", re.IGNORECASE)
KEY, VALUE = (re.compile(rf"(w|project_)?({name})(_proj|_lin)?", re.IGNORECASE) for name in ("k|key", "v|value"))
POSITIONS = re.compile(r"(?:^|_)(?:pos|rel|position|relative)(?:_|$)", re.IGNORECASE)
"""Names of layers that read positions, which belong to no example of a batch."""
LINEAR_HALF = re.compile(r"up_proj|wi_1|w3")
"""Names of the half of a gated feed-forward network's hidden layer that no non-linearity follows."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Projection:
    """A linear layer of a block.

    block: the innermost member of a list of modules around it. attention: the attention module that it belongs to,
    empty where it belongs to none. recurrent: whether it belongs to a state-space mixer. width: features of the
    residual stream of its block.
    """

    name: str
    width_in: int
    width_out: int
    width: int
    block: str
    attention: str
    recurrent: bool

    def feeds(self, other: "Projection") -> bool:
        """Whether this is the hidden layer, plain or gate and input in one, and `other` the last of one network."""
        fits = self.width_out in (other.width_in, 2 * other.width_in) and self.width_in == other.width_out
        return fits and self.name != other.name and self.block == other.block


def presets_by_structure(network: nn.Module) -> dict[str, tuple[str, ...]]:
    """The names of the layers of each part that PRESETS has; empty where the network has no such layers.

    A layer is attention's if a module around it is called so, by its name or its class. The feed-forward network is
    made of pairs of other layers of one block, of which one's output has the width of the other's input and the other
    way round; routers of experts and the layers of state-space mixers form no such pairs.
    """
    projections = _projections(network)
    attention = [p for p in projections if p.attention]
    free = [p for p in projections if not p.attention and not p.recurrent]
    ffn = [p for p in free if any(p.feeds(other) or other.feeds(p) for other in free)]
    last_of_ffn = _last_of_ffn(ffn)
    return {
        "attention": _names(attention),
        "ffn": _names(ffn),
        "all": _names(p for p in projections if p in attention or p in ffn),
        "houlsby": _names(p for p in projections if p in _last_of_attention(attention) or p in last_of_ffn),
        "pfeiffer": _names(last_of_ffn),
        "ia3": _names(_rescaled(projections, attention, ffn, last_of_ffn)),
        "prefix": tuple(name for name, module in network.named_modules() if takes_prefixes(module)),
    }


def _names(projections: Iterable[Projection]) -> tuple[str, ...]:
    return tuple(p.name for p in projections)


def _projections(network: nn.Module) -> list[Projection]:
    """The linear layers of the blocks, in the order in which their modules were made."""
    modules = dict(network.named_modules())
    lists = {name for name, module in modules.items() if isinstance(module, nn.ModuleList)}
    layers: dict[str, tuple[str, str, tuple[int, int]]] = {}  # name -> outermost block, innermost block, widths
    for name, module in modules.items():
        members = [prefix for prefix in _prefixes(name)[:-1] if prefix.rpartition(".")[0] in lists]
        widths = linear_widths(module)
        if members and widths and is_plain_linear(module) and not POSITIONS.search(name.rpartition(".")[2]):
            layers[name] = members[0], members[-1], widths
    streams: dict[str, Counter[int]] = {}
    for outermost, _, widths in layers.values():
        streams.setdefault(outermost, Counter()).update(widths)
    projections = []
    for name, (outermost, innermost, (width_in, width_out)) in layers.items():
        attention, recurrent = _owner(name, outermost, modules)
        projections.append(
            Projection(
                name=name, width_in=width_in, width_out=width_out, block=innermost, attention=attention,
                recurrent=recurrent, width=streams[outermost].most_common(1)[0][0],
            )
        )  # fmt: skip
    return projections


def _prefixes(name: str) -> list[str]:
    """a.b.c -> a, a.b, a.b.c."""
    return list(accumulate(name.split("."), "{}.{}".format))


def _owner(name: str, outermost: str, modules: dict[str, nn.Module]) -> tuple[str, bool]:
    """The attention module that a layer belongs to, empty for none, and whether it belongs to a state-space mixer."""
    owner = ""
    for prefix in reversed(_prefixes(name)[:-1]):
        inside = len(prefix) > len(outermost)
        label = prefix.rpartition(".")[2] + (f" {type(modules[prefix]).__name__}" if inside else "")
        if FEED_FORWARD.search(label):
            break
        if RECURRENT.search(label):
            return owner, not owner
        if ATTENTION.search(label):
            owner = prefix if not isinstance(modules[prefix], nn.ModuleList) else owner or _member(name, prefix)
    return owner, False


def _member(name: str, modules: str) -> str:
    """The member of the list `modules` around the layer `name`."""
    return f"{modules}.{name.removeprefix(f'{modules}.').partition('.')[0]}"


def _last_of_attention(attention: Sequence[Projection]) -> list[Projection]:
    """The last layer of each attention module that gives features of the residual stream."""
    last = {p.attention: p for p in attention if p.width_out == p.width}
    return list(last.values())


def _last_of_ffn(ffn: Sequence[Projection]) -> list[Projection]:
    """The layers that end a feed-forward network; where no width tells, the last of each block."""
    narrowing = [p for p in ffn if p.width_out == p.width != p.width_in]
    blocks = {p.block for p in narrowing}
    return narrowing + list({p.block: p for p in ffn if p.block not in blocks}.values())


def _rescaled(
    projections: Sequence[Projection],
    attention: Sequence[Projection],
    ffn: Sequence[Projection],
    last_of_ffn: Sequence[Projection],
) -> list[Projection]:
    """Keys, values and hidden layers; none at all where queries, keys and values, or gate and input, share a layer."""
    keys, values = ([p for p in attention if pattern.fullmatch(_last(p))] for pattern in (KEY, VALUE))
    modules = {p.attention for p in attention}
    if not modules or any({p.attention for p in of_kind} != modules for of_kind in (keys, values)):
        return []
    hidden = []
    for last in last_of_ffn:
        feeding = [p for p in ffn if p.feeds(last) and p.width_out == last.width_in]
        feeding = [p for p in feeding if LINEAR_HALF.fullmatch(_last(p))] if len(feeding) > 1 else feeding
        if len(feeding) != 1:
            return []
        hidden += feeding
    return [p for p in projections if p in keys or p in values or p in hidden]


def _last(projection: Projection) -> str:
    return projection.name.rpartition(".")[2]
