"""The agents' network, layer by layer; `polyray.rl.fast` computes the same with less work."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.rl.frames import COLOURS, OBJECTS, STATES, Frames, Outputs
from polyray.rl.options import PolicyOptions

ACTIONS = 7
Memory = tuple[Tensor, Tensor]  # hidden state and cell, [B, memory] each


class FilmBlock(nn.Module):
    """Residual block whose features the mission scales and shifts (FiLM, Perez et al. 2018, section 2).

    x + relu(norm2(gamma * conv2(relu(norm1(conv1(x)))) + beta)), where gamma = `weight`(code) and beta = `bias`(code),
    one number a channel.
    """

    def __init__(self, options: PolicyOptions) -> None:
        super().__init__()
        width, kernel = options.channels, options.kernel
        self.conv1 = nn.Conv2d(width, width, kernel, padding=kernel // 2)
        self.conv2 = nn.Conv2d(width, width, kernel, padding=kernel // 2)
        self.norm1, self.norm2 = NORMS[options.norm](width), NORMS[options.norm](width)
        self.weight = nn.Linear(options.mission, width)
        self.bias = nn.Linear(options.mission, width)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Block's output for maps x [N, channels, h, w] under missions code [N, mission] -> [N, channels, h, w]."""
        inner = self.conv2(self.norm1(self.conv1(x)).relu())
        modulated: Tensor = self.norm2(inner * _per_channel(self.weight(code)) + _per_channel(self.bias(code)))
        return x + modulated.relu()


class PolicyNetwork(nn.Module):
    """`bow_endpool_res` of BabyAI 1.1 (Hui et al. 2020; babyai/model.py), with the sizes and shortcuts of its options.

    Tiles as bags of words, convolutions, FiLM blocks under the mission's code, max-pool, LSTM, actor and critic. Any of
    its layers can carry skills: called inside `polyray.modules.site.mixing`, each environment uses those of its task.

    Args:
        options: sizes and choices.
        n_words: size of the vocabulary; word 0 is padding.
    """

    def __init__(self, options: PolicyOptions, n_words: int) -> None:
        super().__init__()
        self.options, self.n_words = options, n_words
        width, code = options.embedding, options.mission
        self.tiles = nn.Embedding(OBJECTS + COLOURS + STATES, width)
        if options.tile_film:
            self.tile_conv = nn.Conv2d(width, width, 1)
            self.tile_weight, self.tile_bias = nn.Linear(code, width), nn.Linear(code, width)
        inputs = [width, *[options.channels] * (options.convolutions - 1)]
        geometry = [(options.stride, options.padding), *[(1, 1)] * (options.convolutions - 1)]
        self.convs = nn.ModuleList(
            nn.Conv2d(n_inputs, options.channels, 3, stride, padding)
            for n_inputs, (stride, padding) in zip(inputs, geometry, strict=True)
        )
        self.norms = nn.ModuleList(NORMS[options.norm](options.channels) for _ in inputs)
        self.words = nn.Embedding(n_words, code)
        if options.reader == "gru":
            self.reader = nn.GRU(code, code, batch_first=True)
        self.film = nn.ModuleList(FilmBlock(options) for _ in range(options.blocks))
        features = options.features
        if options.memory:
            self.memory = nn.LSTMCell(features, options.memory)
            features = options.memory
        self.actor, self.critic = _head(features, options.hidden, ACTIONS), _head(features, options.hidden, 1)
        self.apply(_initialise)

    def forward(self, frames: Frames) -> Outputs:
        """Logits, values and memory for B environments over T steps."""
        n, steps = frames.fresh.shape
        code = self.read(frames.mission.flatten(0, 1).long())  # [B * T, mission]
        features = self.see(frames.image.flatten(0, 1).long(), code).view(n, steps, -1)  # [B, T, features]
        features, memory = self.remember(features, frames.fresh, frames.memory)
        return Outputs(logits=self.actor(features), values=self.critic(features).squeeze(-1), memory=memory)

    def read(self, mission: Tensor) -> Tensor:
        """Encode missions [N, L] as [N, mission]: the reader's state after the last word, or the sum of all words."""
        words: Tensor = self.words(mission)
        is_word = mission != 0
        if self.options.reader == "bag":
            return (words * is_word.unsqueeze(-1)).sum(1)
        states: Tensor = self.reader(words)[0]
        return states[torch.arange(len(mission), device=mission.device), is_word.sum(1) - 1]

    def see(self, image: Tensor, code: Tensor) -> Tensor:
        """Features [N, features] of the views image [N, 7, 7, 3] under the missions code [N, mission]."""
        offsets = torch.tensor([0, OBJECTS, OBJECTS + COLOURS], device=image.device)
        x: Tensor = self.tiles(image + offsets).sum(3).permute(0, 3, 1, 2)  # [N, embedding, 7, 7]
        if self.options.tile_film:
            factor, summand = _per_channel(self.tile_weight(code)), _per_channel(self.tile_bias(code))
            x = (self.tile_conv(x) * (1 + factor) + summand).relu()
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x)).relu()  # [N, channels, side, side]
        for block in self.film:
            x = block(x, code)
        if self.options.pool == "max":
            return functional.max_pool2d(x, x.shape[-1]).flatten(1)
        return x.permute(0, 2, 3, 1).flatten(1)  # position by position, channels together

    def remember(self, features: Tensor, fresh: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Hidden states over time, and the last memory; without an LSTM features and memory as they come.

        features [B, T, features], fresh bool [B, T] -> [B, T, memory].
        """
        if not self.options.memory:
            return features, memory
        states = []
        for entering, starts in zip(features.unbind(1), fresh.unbind(1), strict=True):
            hidden, cell = (state * ~starts.unsqueeze(-1) for state in memory)
            memory = self.memory(entering, (hidden, cell))
            states.append(memory[0])
        return torch.stack(states, 1), memory


def _per_channel(numbers: Tensor) -> Tensor:
    """[N, channels] as [N, channels, 1, 1], to go with maps."""
    return numbers[:, :, None, None]


def _head(features: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, hidden), nn.Tanh(), nn.Linear(hidden, outputs))


def _initialise(module: nn.Module) -> None:
    """Draw linear layers as BabyAI does: rows of normal draws with length 1, no bias; all else is torch's own."""
    if isinstance(module, nn.Linear):
        with torch.no_grad():
            module.weight.normal_()
            module.weight /= module.weight.norm(dim=1, keepdim=True)
            module.bias.zero_()


def _group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(math.gcd(channels, 8), channels)


def _no_norm(channels: int) -> nn.Module:
    return nn.Identity()


NORMS: Mapping[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "group": _group_norm, "none": _no_norm}
"""Channels -> a normalisation of maps [N, channels, h, w]."""
