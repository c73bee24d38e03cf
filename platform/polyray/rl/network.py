"""The network of BabyAI 1.1, computed for all rows of a mix at once: every row has weights of its own."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.modules.mix import Rows
from polyray.rl.frames import Frames, Outputs, distinct_missions, tokens_of
from polyray.rl.operations import NORMS, Weights, affine, alike, convolution, normed
from polyray.rl.options import PolicyOptions
from polyray.rl.recurrent import WAIT, gru, lstm
from polyray.rl.tiles import (
    COLOURS,
    OBJECTS,
    STATES,
    TILES,
    add_up,
    distinct_pairs,
    tap_index,
    tap_places,
    tap_table,
    tile_numbers,
    tile_vectors,
)

ACTIONS = 7
Modulation = tuple[Tensor, Tensor]  # factor and summand, [missions, channels] each


class Film(nn.Module):
    """The layers of a FiLM block (Perez et al. 2018): two convolutions, and what the mission does to their output."""

    def __init__(self, options: PolicyOptions) -> None:
        super().__init__()
        wide, kernel = options.channels, options.kernel
        self.conv1 = nn.Conv2d(wide, wide, kernel, padding=kernel // 2)
        self.conv2 = nn.Conv2d(wide, wide, kernel, padding=kernel // 2)
        self.norm1, self.norm2 = NORMS[options.norm](options.channels), NORMS[options.norm](options.channels)
        self.weight = nn.Linear(options.mission, wide)
        self.bias = nn.Linear(options.mission, wide)


@dataclass(frozen=True, eq=False)
class Tables:
    """What follows from the weights alone, once for all frames.

    tiles: [rows, ...], what each tile is: `polyray.rl.tiles.tap_table` of the first convolution, or with `tile_film`
    the vectors [rows, TILES, width] that missions modulate. words: [rows, n_words, width], what each word brings to
    the reader. heads: weight and bias of the first layers of actor and critic, joined.
    """

    weights: Weights
    tiles: Tensor
    words: Tensor
    heads: tuple[Tensor, Tensor]


class Policy(nn.Module):
    """`bow_endpool_res` of BabyAI 1.1 (Hui et al. 2020; babyai/model.py), with sizes and shortcuts by `PolicyOptions`.

    Tiles as bags of words, convolutions, FiLM blocks with a residual under the mission's code, max-pool, LSTM, actor
    and critic. Layers hold the parameters; the computation takes them by name, so that each row of a mix has its own.
    """

    def __init__(self, options: PolicyOptions, n_words: int) -> None:
        super().__init__()
        self.options, self.n_words = options, n_words
        wide, code = options.embedding, options.mission
        self.tiles = nn.Embedding(OBJECTS + COLOURS + STATES, wide)
        if options.tile_film:
            self.tile_conv = nn.Conv2d(wide, wide, 1)
            self.tile_weight, self.tile_bias = nn.Linear(code, wide), nn.Linear(code, wide)
        inputs = [wide, *[options.channels] * (options.convolutions - 1)]
        self.convs = nn.ModuleList(
            nn.Conv2d(into, options.channels, 3, *((1, 1) if place else (options.stride, options.padding)))
            for place, into in enumerate(inputs)
        )
        self.norms = nn.ModuleList(NORMS[options.norm](options.channels) for _ in inputs)
        self.words = nn.Embedding(n_words, code)
        if options.reader == "gru":
            self.reader = nn.GRU(code, code, batch_first=True)
        self.film = nn.ModuleList(Film(options) for _ in range(options.blocks))
        features = options.features
        if options.memory:
            self.memory = nn.LSTMCell(features, options.memory)
            features = options.memory
        self.actor, self.critic = _head(features, options.hidden, ACTIONS), _head(features, options.hidden, 1)
        self.apply(_initialise)
        self.places: Tensor
        self.register_buffer("places", tap_places(options.stride, options.padding, torch.device("cpu")), False)

    def forward(self, frames: Frames) -> Outputs:
        """The outputs without skills."""
        own = {name: parameter.unsqueeze(0) for name, parameter in self.named_parameters()}
        rows = Rows([0] * len(frames.task), 1, frames.task.device)
        return self.run(frames, self.tables(own), rows)

    def tables(self, weights: Weights) -> Tables:
        """What follows from the weights [rows or 1, ...] of `polyray.modules.fast.merged`."""
        options = self.options
        rows = max(len(weight) for weight in weights.values())
        tiles = tile_vectors(weights["tiles.weight"])
        if options.tile_film:
            tiles = affine(tiles, weights["tile_conv.weight"].flatten(2), weights["tile_conv.bias"])
        tiles = tiles.expand(rows, -1, -1)
        if not options.tile_film:
            tiles = tap_table(tiles, weights["convs.0.weight"], weights["convs.0.bias"], options.padding)
        words = weights["words.weight"]
        if options.reader == "gru":
            words = affine(words, weights["reader.weight_ih_l0"], weights["reader.bias_ih_l0"])
        words = torch.cat([_padding_word(words, options), words[:, 1:]], 1).expand(rows, -1, -1)
        heads = [[weights[f"{head}.0.{name}"] for head in ("actor", "critic")] for name in ("weight", "bias")]
        weight, bias = (torch.cat(alike(parts), 1) for parts in heads)
        return Tables(weights, tiles, words, (weight, bias))

    def run(self, frames: Frames, tables: Tables, rows: Rows) -> Outputs:
        """The outputs with the weights of each environment's row: `rows` are those of the environments."""
        mission = rows.gather(frames.mission).flatten(1, 2)
        missions = distinct_missions(mission)
        return self.act(frames, tables, rows, self.modulations(tokens_of(missions, mission), tables), missions.of)

    def modulations(self, tokens: Tensor, tables: Tables) -> list[Modulation]:
        """What missions do in each FiLM block: tokens [rows, most, words] -> pairs [rows * most, channels]."""
        code = self._read(tokens, tables)
        weights = tables.weights
        names = ["tile_"] if self.options.tile_film else []
        names += [f"film.{place}." for place in range(len(self.film))]
        layers = [[f"{name}{part}" for part in ("weight", "bias")] for name in names]
        pairs = [[affine(code, weights[f"{x}.weight"], weights[f"{x}.bias"]) for x in pair] for pair in layers]
        return [(factor.flatten(0, 1), summand.flatten(0, 1)) for factor, summand in pairs]

    def _read(self, tokens: Tensor, tables: Tables) -> Tensor:
        """The missions' codes: tokens [rows, most, words] -> [rows, most, mission]."""
        start = torch.arange(len(tokens), device=tokens.device).view(-1, 1, 1) * self.n_words
        found = functional.embedding((tokens + start).permute(2, 0, 1), tables.words.flatten(0, 1))
        if self.options.reader == "bag":
            return found.sum(0)
        weights = tables.weights
        return gru(found, weights["reader.weight_hh_l0"], weights["reader.bias_hh_l0"])

    def act(self, frames: Frames, tables: Tables, rows: Rows, modulations: list[Modulation], of: Tensor) -> Outputs:
        """`run` with the missions read already: `of` [frames, by row], each frame's modulation, in its row's share."""
        together = frames.by_row(rows)
        features = self._see(together.image, tables, modulations, of)  # [rows, most * T, features]
        shape = together.fresh.shape
        memory = together.memory
        if self.options.memory:
            features, memory = self._remember(features, together, tables)
        logits, values = self._judge(features, tables)
        return Outputs(
            logits=rows.scatter(logits.view(*shape, -1)), values=rows.scatter(values.view(shape)),
            memory=(rows.scatter(memory[0]), rows.scatter(memory[1])),
        )  # fmt: skip

    def _see(self, image: Tensor, tables: Tables, modulations: list[Modulation], of: Tensor) -> Tensor:
        """What the frames come to: image [rows, most, T, 7, 7, 3] -> [rows, n, features]."""
        options, weights = self.options, tables.weights
        numbers = tile_numbers(image).flatten(1, 2)  # [rows, n, 49]
        if options.tile_film:
            x = self._first_under_missions(numbers, tables, modulations[0], of)
        else:
            x = add_up(tables.tiles.flatten(0, 1), tap_index(numbers, TILES, self.places, options.padding))
        x = x.view(*numbers.shape[:2], options.side, options.side, -1)
        x = normed(self.norms[0], x).relu()
        for place in range(1, options.convolutions):
            x = normed(self.norms[place], convolution(x, weights, f"convs.{place}")).relu()
        for place, modulation in enumerate(modulations[len(modulations) - len(self.film) :]):
            x = x + self._block(x, place, weights, modulation, of)
        return x.flatten(2, 3).max(2).values if options.pool == "max" else x.flatten(2)

    def _first_under_missions(self, numbers: Tensor, tables: Tables, modulation: Modulation, of: Tensor) -> Tensor:
        """The first convolution over tiles that the mission modulates: [rows * n * positions, channels]."""
        padding, weights = self.options.padding, tables.weights
        pairs = distinct_pairs(numbers, of, len(modulation[0]) // len(numbers))
        factor, summand = (functional.embedding(pairs.missions, part) for part in modulation)
        vectors = functional.embedding(pairs.tiles, tables.tiles.flatten(0, 1))
        vectors = torch.addcmul(vectors + summand, vectors, factor).relu()
        table = tap_table(vectors, weights["convs.0.weight"], weights["convs.0.bias"], padding)
        return add_up(table.flatten(0, 1), tap_index(pairs.numbers, vectors.shape[1], self.places, padding))

    def _block(self, x: Tensor, place: int, weights: Weights, modulation: Modulation, of: Tensor) -> Tensor:
        """What a FiLM block adds: x [rows, n, h, w, channels]."""
        block, name = cast(Film, self.film[place]), f"film.{place}"
        inner = normed(block.norm1, convolution(x, weights, f"{name}.conv1")).relu()
        inner = convolution(inner, weights, f"{name}.conv2")
        factor, summand = (functional.embedding(of, part).view(*x.shape[:2], 1, 1, -1) for part in modulation)
        return normed(block.norm2, torch.addcmul(summand, inner, factor)).relu()

    def _remember(self, features: Tensor, frames: Frames, tables: Tables) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        weights = tables.weights
        bias = weights["memory.bias_ih"] + weights["memory.bias_hh"]
        gates = affine(features, weights["memory.weight_ih"], bias)
        keep = (~frames.fresh).to(gates.dtype)
        rows, most, steps = keep.shape
        hiddens, state = lstm(
            gates.view(rows, most, steps, -1).permute(2, 0, 1, 3).contiguous(),
            keep.permute(2, 0, 1).unsqueeze(-1), frames.memory, weights["memory.weight_hh"],
        )  # fmt: skip
        return hiddens.permute(1, 2, 0, 3).flatten(1, 2), state

    def _judge(self, features: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Logits [rows, n, actions] and values [rows, n, 1]."""
        weights = tables.weights
        acting, judging = affine(features, *tables.heads).tanh().chunk(2, -1)
        logits = affine(acting, weights["actor.2.weight"], weights["actor.2.bias"])
        return logits, affine(judging, weights["critic.2.weight"], weights["critic.2.bias"])


def _padding_word(words: Tensor, options: PolicyOptions) -> Tensor:
    """What word 0 brings, [rows, 1, width]: nothing, or to a GRU that its state stays."""
    padding = torch.zeros_like(words[:, :1])
    if options.reader == "gru":
        padding[..., options.mission : 2 * options.mission] = WAIT
    return padding


def _head(features: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, hidden), nn.Tanh(), nn.Linear(hidden, outputs))


def _initialise(module: nn.Module) -> None:
    """Linear layers as babyai draws them: rows of normal draws with length 1, no bias; all else is torch's own."""
    if isinstance(module, nn.Linear):
        with torch.no_grad():
            module.weight.normal_()
            module.weight /= module.weight.norm(dim=1, keepdim=True)
            module.bias.zero_()
