"""From a rollout to what PPO learns from: advantages and returns, minibatches of sequences, and their loss."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyray.rl.frames import Frames
from polyray.rl.packing import packed_sequences
from polyray.rl.ppo import (
    Coefficients,
    Experience,
    Losses,
    ValueNorm,
    explained_variance,
    gae,
    ppo_loss,
    standardise,
)
from polyray.rl.rollout import Arrays, Rollout, blocks_to_draw_from, minibatches, n_minibatches, sequences
from polyray.rl.settings import PPOOptions


def sequences_of(rollout: Rollout, options: PPOOptions, returns: ValueNorm) -> tuple[Arrays, float]:
    """Rows of `recurrence` frames, each frame with its advantage and return: arrays [rows, recurrence, ...].

    With `draw` frames a row is a piece of one environment's; with episodes rows are packed (`polyray.rl.packing`), and
    "real" [rows, recurrence] says which of their frames are.

    Also the share of the returns' variance that the critic explained while playing.

    Args:
        returns: mean and deviation of the returns so far; with `normalise_values` it takes in those of the rollout.
    """
    values, last_values = _tensor(rollout.frames["values"]), _tensor(rollout.last_values)
    if options.normalise_values:
        values, last_values = returns.denormalise(values), returns.denormalise(last_values)
    rewards, dones = _tensor(rollout.frames["rewards"]) * options.reward_scale, _tensor(rollout.frames["dones"])
    advantages, targets = gae(rewards, values, dones, last_values, options.discount, options.lam)
    explained = float(explained_variance(values, targets))
    if options.normalise_values:
        returns.update(targets)
        values, targets = returns.normalise(values), returns.normalise(targets)
    if options.normalise_advantages:
        advantages = standardise(advantages)
    learned = {"values": values.numpy(), "advantages": advantages.numpy(), "returns": targets.numpy()}
    if options.draw == "episodes":
        rows = packed_sequences(rollout, learned, options.recurrence)
    else:
        rows = sequences(rollout, learned)
    return {name: array for name, array in rows.items() if name not in ("rewards", "dones")}, explained


def epochs(
    rows: Mapping[str, Any], options: PPOOptions, order: torch.Generator, device: torch.device
) -> Iterator[dict[str, Tensor]]:
    """Every epoch's minibatches: all rows once, equally many of every task in each, or with packed rows as they come.

    Args:
        rows: arrays [rows, recurrence, ...] sorted by "task" [rows], of `sequences_of`.
        order: draws the order of the rows.
    """
    blocks = blocks_to_draw_from(rows)
    tensors = {name: _tensor(array).to(device) for name, array in rows.items()}
    n = n_minibatches(blocks, tensors["actions"].shape[1], options.batch)
    for _ in range(options.epochs):
        for batch_rows in minibatches(blocks, n, order):
            index = batch_rows.to(device)
            yield {name: tensor.index_select(0, index) for name, tensor in tensors.items()}


def frames_of(batch: Mapping[str, Tensor]) -> Frames:
    """The policy's input in a minibatch of sequences: [rows, T, ...] and the memory before each row's first frame."""
    return Frames(
        image=batch["image"], mission=batch["mission"], fresh=batch["fresh"], task=batch["task"],
        memory=(batch["memory_h"], batch["memory_c"]),
    )  # fmt: skip


def minibatch_losses(
    logits: Tensor, values: Tensor, batch: Mapping[str, Tensor], options: PPOOptions, entropy: float
) -> Losses:
    """PPO's losses of a minibatch; `entropy` is the coefficient of the entropy as training has it now."""
    experience = {field.name: batch[field.name] for field in fields(Experience)}
    if "real" in batch:
        logits, values, experience = _real_frames(logits, values, experience, batch["real"])
    coefficients = Coefficients(clip=options.clip, value=options.value_coefficient, entropy=entropy)
    return ppo_loss(logits, values, Experience(**experience), coefficients)


def _real_frames(
    logits: Tensor, values: Tensor, experience: Mapping[str, Tensor], real: Tensor
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The same without the frames behind a row's last one, all frames in one row."""
    index = real.view(-1).nonzero()[:, 0]
    taken = {name: tensor.flatten().index_select(0, index)[None] for name, tensor in experience.items()}
    logits, values = logits.flatten(0, 1).index_select(0, index), values.flatten().index_select(0, index)
    return logits[None], values[None], taken


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))  # Ray's arrays are read-only
