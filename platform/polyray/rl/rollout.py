"""Whole arrays from runner to learner: rollouts, sequences, minibatches.

Nothing here imports Ray.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyray.rl.episodes import Episodes

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """T frames played in each of n environments.

    Args:
        frames: image [n, T, 7, 7, 3] and mission [n, T, L] uint8, fresh [n, T] bool (a frame is the first of its
            episode), actions [n, T], logp [n, T], values [n, T] (the critic's), rewards [n, T] (minigrid's), dones
            [n, T] bool.
        memory_h, memory_c: [n, pieces, memory], before the first frame of each piece of `recurrence` frames.
        last_values: [n], the critic's value of the state after the last frame.
        task: [n, T], the policy's row for each frame.
        episodes: those that ended, in the order in which they did.
        running: those under way after the last frame.
        environment, inference: seconds spent in each.
    """

    frames: Arrays
    memory_h: NDArray[np.float32]
    memory_c: NDArray[np.float32]
    last_values: NDArray[np.float32]
    task: NDArray[np.int64]
    episodes: Episodes
    running: Episodes
    environment: float
    inference: float

    @property
    def n_frames(self) -> int:
        """Frames played."""
        return int(self.frames["rewards"].size)


def join(rollouts: Sequence[Rollout]) -> Rollout:
    """One rollout of all environments, sorted by their first task; seconds are the mean over runners."""
    if len(rollouts) == 1:
        return rollouts[0]
    task = np.concatenate([rollout.task for rollout in rollouts])
    order = np.argsort(task[:, 0], kind="stable")
    before = np.cumsum([0, *(len(rollout.task) for rollout in rollouts[:-1])]).tolist()  # environments of other runners
    return Rollout(
        frames={
            name: np.concatenate([rollout.frames[name] for rollout in rollouts])[order] for name in rollouts[0].frames
        },
        memory_h=np.concatenate([rollout.memory_h for rollout in rollouts])[order],
        memory_c=np.concatenate([rollout.memory_c for rollout in rollouts])[order],
        last_values=np.concatenate([rollout.last_values for rollout in rollouts])[order],
        task=task[order],
        episodes=Episodes.join([rollout.episodes.moved(0, n) for rollout, n in zip(rollouts, before, strict=True)]),
        running=Episodes.join([rollout.running.moved(0, n) for rollout, n in zip(rollouts, before, strict=True)]),
        environment=float(np.mean([rollout.environment for rollout in rollouts])),
        inference=float(np.mean([rollout.inference for rollout in rollouts])),
    )


def sequences(rollout: Rollout, more: Arrays) -> Arrays:
    """Cut a rollout into rows of `recurrence` frames, sorted by task: arrays [n * pieces, recurrence, ...].

    Args:
        rollout: n environments, T frames of one task each, with the memory before each of `pieces` pieces; they come in
            blocks of equal task.
        more: further arrays [n, T] (advantages, returns); they replace the rollout's of the same name.
    """
    n, pieces, width = rollout.memory_h.shape
    rows = n * pieces
    cut = {
        name: array.reshape(rows, array.shape[1] // pieces, *array.shape[2:])
        for name, array in {**rollout.frames, **more}.items()
    }
    cut["memory_h"] = rollout.memory_h.reshape(rows, width)
    cut["memory_c"] = rollout.memory_c.reshape(rows, width)
    cut["task"] = rollout.task[:, 0].repeat(pieces)
    return cut


def shares(rows: Arrays, n: int) -> list[Arrays]:
    """Deal rows out to n learners, each with equally many from every block; a remainder is left out."""
    if n == 1:
        return [rows]
    blocks = blocks_to_draw_from(rows)
    size = blocks.shape[1] // n
    dealt = [blocks[:, learner : learner + n * size : n].reshape(-1).numpy() for learner in range(n)]
    return [{name: array[indices] for name, array in rows.items()} for indices in dealt]


def blocks_to_draw_from(rows: Mapping[str, Any]) -> Tensor:
    """Indices of rows in equal blocks [blocks, rows of each], of which every share and minibatch has equally many.

    A block is a task; where rows of tasks in unequal numbers were packed (they have "real"), one block has them all.
    """
    if "real" in rows:
        return torch.arange(len(rows["task"])).unsqueeze(0)
    return blocks_of(torch.tensor(rows["task"]))


def blocks_of(task: Tensor) -> Tensor:
    """Indices of the rows of each task, [tasks, rows of each], for rows in equal blocks: task int64 [rows].

    Raises:
        ValueError: the blocks are not equal, or a task has more than one.
    """
    values, counts = torch.unique_consecutive(task, return_counts=True)
    if len(values) != len(values.unique()) or len(counts.unique()) != 1:
        raise ValueError(f"blocks_of: rows must come in equal blocks of one task each, found {counts.tolist()}")
    return torch.arange(len(task)).view(len(values), -1)


def minibatches(blocks: Tensor, n: int, generator: torch.Generator) -> Iterator[Tensor]:
    """One pass over the rows of blocks [blocks, rows of each] in n minibatches of row indices.

    Every minibatch has equally many rows of every block, block after block; rows are shuffled within their block.
    """
    shuffled = torch.stack([block[torch.randperm(len(block), generator=generator)] for block in blocks])
    for columns in shuffled.tensor_split(n, dim=1):
        yield columns.reshape(-1)


def n_minibatches(blocks: Tensor, recurrence: int, batch: int) -> int:
    """Minibatches of about `batch` frames in a pass over blocks [blocks, rows of each] of `recurrence` frames a row."""
    return min(blocks.shape[1], max(1, round(blocks.numel() * recurrence / batch)))
