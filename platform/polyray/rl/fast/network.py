"""All rows of a mix in one pass through the agents' network, each row with weights of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.modules.attach import Inventory
from polyray.modules.fast.rowwise import affine, gru_step, lstm_step
from polyray.modules.merged import Merger
from polyray.modules.mix import Mix, Rows
from polyray.rl.fast.missions import distinct_missions
from polyray.rl.fast.tiles import TILES, add_up, distinct_pairs, tap_index, tap_table, tile_numbers, tile_vectors
from polyray.rl.frames import Frames, Outputs
from polyray.rl.network import FilmBlock, Memory, PolicyNetwork

Weights = Mapping[str, Tensor]  # parameter name -> [rows or 1, *shape]


class Modulation(NamedTuple):
    """Scale and shift of features by missions, [missions, channels] each."""

    factor: Tensor
    summand: Tensor


Modulations = Mapping[str, Modulation]  # by the prefix of the layers' names


@dataclass(frozen=True, eq=False)
class Tables:
    """Numbers that follow from the weights alone, the same for all frames.

    tiles: [rows, ...], `tap_table` of the first convolution for every tile, or with `tile_film` the vectors [rows,
    TILES, width] that missions modulate. words: [rows, n_words, width], each word's vector, or with a GRU its way
    through the input weights. heads: weight and bias of the first layers of actor and critic, joined, which saves 9 %
    of the small network's time in learning.
    """

    weights: Weights
    tiles: Tensor
    words: Tensor
    heads: tuple[Tensor, Tensor]


class RowwiseNetwork:
    """Drop-in for `with mixing(inventory, mix): network(frames)`: all rows of a mix in one pass, each with its weights.

    Skills are merged into the weights once for each row of the mix, and environments are brought together by row. Batch
    normalisation is over all rows together; where rows have unequally many environments, some frames count twice in it.

    Args:
        network: holds the parameters.
        inventory: skills on its layers; without them the network is computed as it is.
    """

    def __init__(self, network: PolicyNetwork, inventory: Inventory | None = None) -> None:
        self._network, self._options = network, network.options
        self._merge = None if inventory is None else Merger(network, inventory)

    def __call__(self, frames: Frames, mix: Mix | None = None) -> Outputs:
        """Logits, values and memory; the rows of `mix` are those of the environments."""
        rows = Rows([0] * len(frames.task), 1, frames.task.device) if mix is None else mix.rows
        tables = self.tables(None if mix is None else mix.weights)
        tokens, index = distinct_missions(rows.gather(frames.mission).flatten(1, 2))
        return self.act(frames, tables, rows, self.modulations(tokens, tables), index)

    def tables(self, mix: Tensor | None) -> Tables:
        """Weights merged for a mix [sites or 1, heads, rows, skills], and the tables that follow from them."""
        options, weights = self._options, self._weights(mix)
        n_rows = 1 if mix is None else mix.shape[2]
        tiles = tile_vectors(weights["tiles.weight"]).expand(n_rows, -1, -1)
        if options.tile_film:
            tiles = affine(tiles, weights["tile_conv.weight"].flatten(2), weights["tile_conv.bias"])
        else:
            tiles = tap_table(tiles, weights["convs.0.weight"], weights["convs.0.bias"], options.padding)
        words = weights["words.weight"].expand(n_rows, -1, -1)
        if options.reader == "gru":
            words = affine(words, weights["reader.weight_ih_l0"], weights["reader.bias_ih_l0"])
        weight, bias = (
            torch.cat([weights[f"{head}.0.{name}"].expand(n_rows, *shape) for head in ("actor", "critic")], 1)
            for name, shape in (("weight", (-1, -1)), ("bias", (-1,)))
        )
        return Tables(weights, tiles, words, (weight, bias))

    def _weights(self, mix: Tensor | None) -> Weights:
        if mix is None:
            return {name: parameter.unsqueeze(0) for name, parameter in self._network.named_parameters()}
        assert self._merge is not None, "a mix needs an inventory"
        return self._merge(mix)

    def modulations(self, tokens: Tensor, tables: Tables) -> Modulations:
        """Modulation of each FiLM layer by missions: tokens uint8 [rows, most, words] -> [rows * most, channels]."""
        code, weights = self._read(tokens, tables), tables.weights

        def output(layer: str) -> Tensor:
            return affine(code, weights[f"{layer}.weight"], weights[f"{layer}.bias"]).flatten(0, 1)

        names = ["tile_"] if self._options.tile_film else []
        names += [f"film.{block}." for block in range(self._options.blocks)]
        return {name: Modulation(output(f"{name}weight"), output(f"{name}bias")) for name in names}

    def _read(self, tokens: Tensor, tables: Tables) -> Tensor:
        """Codes of missions: tokens uint8 [rows, most, words] -> [rows, most, mission]."""
        first = torch.arange(len(tokens), device=tokens.device).view(-1, 1, 1) * self._network.n_words
        words = functional.embedding(tokens + first, tables.words.flatten(0, 1))  # [rows, most, words, width]
        is_word = (tokens != 0).unsqueeze(-1)
        if self._options.reader == "bag":
            return (words * is_word).sum(2)
        weight, bias = (tables.weights[f"reader.{name}_hh_l0"] for name in ("weight", "bias"))
        state = words.new_zeros(*tokens.shape[:2], self._options.mission)
        for entering, moves in zip(words.unbind(2), is_word.unbind(2), strict=True):
            state = torch.where(moves, gru_step(entering, affine(state, weight, bias), state), state)
        return state

    def act(self, frames: Frames, tables: Tables, rows: Rows, modulations: Modulations, mission: Tensor) -> Outputs:
        """Outputs with the missions read already: mission int64 [rows * n], each frame's among the modulations."""
        fresh = rows.gather(frames.fresh)  # [rows, most, T]
        features = self._see(rows.gather(frames.image).flatten(1, 2), tables, modulations, mission)
        memory = (rows.gather(frames.memory[0]), rows.gather(frames.memory[1]))
        features, memory = self._remember(features.view(*fresh.shape, -1), fresh, memory, tables.weights)
        logits, values = self._judge(features.flatten(1, 2), tables)
        return Outputs(
            logits=rows.scatter(logits.view(*fresh.shape, -1)), values=rows.scatter(values.view(fresh.shape)),
            memory=(rows.scatter(memory[0]), rows.scatter(memory[1])),
        )  # fmt: skip

    def _see(self, image: Tensor, tables: Tables, modulations: Modulations, mission: Tensor) -> Tensor:
        """Features of views: image uint8 [rows, n, 7, 7, 3] -> [rows, n, features]."""
        options, weights, norms = self._options, tables.weights, self._network.norms
        numbers = tile_numbers(image)  # [rows, n, 49]
        if options.tile_film:
            x = self._first_under_missions(numbers, tables, modulations["tile_"], mission)
        else:
            x = add_up(tables.tiles.flatten(0, 1), tap_index(numbers, TILES, options.stride, options.padding))
        x = x.view(*numbers.shape[:2], options.side, options.side, -1)  # [rows, n, side, side, channels]
        x = _normalise(norms[0], x).relu()
        for layer in range(1, options.convolutions):
            x = _normalise(norms[layer], _convolve(x, weights, f"convs.{layer}")).relu()
        for number, block in enumerate(self._network.film):
            name = f"film.{number}."
            x = x + _film(x, cast(FilmBlock, block), weights, name, _per_frame(modulations[name], mission))
        return x.flatten(2, 3).max(2).values if options.pool == "max" else x.flatten(2)

    def _first_under_missions(self, numbers: Tensor, tables: Tables, modulation: Modulation, mission: Tensor) -> Tensor:
        """First convolution over tiles that the mission modulates: [rows * n * positions, channels]."""
        options, weights = self._options, tables.weights
        pairs = distinct_pairs(numbers, mission, len(modulation.factor) // len(numbers))
        factor, summand = _per_frame(modulation, pairs.missions)
        vectors = functional.embedding(pairs.tiles, tables.tiles.flatten(0, 1))
        vectors = torch.addcmul(vectors + summand, vectors, factor).relu()  # (1 + factor) * vectors + summand
        table = tap_table(vectors, weights["convs.0.weight"], weights["convs.0.bias"], options.padding)
        return add_up(table.flatten(0, 1), tap_index(pairs.numbers, vectors.shape[1], options.stride, options.padding))

    def _remember(self, features: Tensor, fresh: Tensor, memory: Memory, weights: Weights) -> tuple[Tensor, Memory]:
        """Hidden states over time, and the last memory.

        features [rows, most, T, features], fresh bool [rows, most, T] -> [rows, most, T, memory].
        """
        if not self._options.memory:
            return features, memory
        bias = weights["memory.bias_ih"] + weights["memory.bias_hh"]
        entering = affine(features.flatten(1, 2), weights["memory.weight_ih"], bias).view(*fresh.shape, -1)
        recurrent = weights["memory.weight_hh"].mT.expand(len(fresh), -1, -1)
        keeps = (~fresh).to(features.dtype).unsqueeze(-1)
        states = []
        for gates, keep in zip(entering.unbind(2), keeps.unbind(2), strict=True):
            hidden, cell = memory
            memory = lstm_step(torch.baddbmm(gates, hidden * keep, recurrent), cell * keep)
            states.append(memory[0])
        return torch.stack(states, 2), memory

    def _judge(self, features: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Logits [rows, n, actions] and values [rows, n, 1] of features [rows, n, features]."""
        weights = tables.weights
        for_actor, for_critic = affine(features, *tables.heads).tanh().chunk(2, -1)
        logits = affine(for_actor, weights["actor.2.weight"], weights["actor.2.bias"])
        return logits, affine(for_critic, weights["critic.2.weight"], weights["critic.2.bias"])


def _per_frame(modulation: Modulation, mission: Tensor) -> Modulation:
    """Modulations of the missions with the indices mission [*batch] -> [*batch, channels] each."""
    return Modulation(
        functional.embedding(mission, modulation.factor), functional.embedding(mission, modulation.summand)
    )


def _film(x: Tensor, block: FilmBlock, weights: Weights, name: str, modulation: Modulation) -> Tensor:
    """Summand of a FiLM block: maps x [rows, n, h, w, channels], modulation [rows * n, channels]."""
    inner = _normalise(block.norm1, _convolve(x, weights, f"{name}conv1")).relu()
    inner = _convolve(inner, weights, f"{name}conv2")
    factor, summand = (numbers.view(*x.shape[:2], 1, 1, -1) for numbers in modulation)
    return _normalise(block.norm2, torch.addcmul(summand, inner, factor)).relu()


def _convolve(x: Tensor, weights: Weights, name: str) -> Tensor:
    """Convolution that leaves the map's size: x [rows, n, h, w, in] -> [rows, n, h, w, out]; a call for each row.

    A grouped convolution for all rows takes 5 % longer in learning with the paper's sizes.
    """
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    weight, bias = weight.expand(len(x), *weight.shape[1:]), bias.expand(len(x), -1)
    padding = weight.shape[-1] // 2
    maps = x.movedim(-1, 2)  # [rows, n, in, h, w], channels last in memory
    rows = (functional.conv2d(*row, padding=padding) for row in zip(maps, weight, bias, strict=True))
    return torch.stack([row.movedim(1, -1) for row in rows])


def _normalise(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply `norm` to maps x [rows, n, h, w, channels] of all rows together."""
    normalised: Tensor = norm(x.flatten(0, 1).movedim(-1, 1))
    return normalised.movedim(1, -1).view(x.shape)
