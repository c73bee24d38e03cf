"""Frames of environments that change their levels, packed into rows of one level each.

Gradients flow through rows of `recurrence` frames, each with one row of weights. Where every episode has a level of its
own, an environment's frames fall into episodes, and these are laid end to end in rows: the memory is cleared where an
episode begins, so that several fit into a row. What began before the rollout, or is cut at the end of a row, goes on
with the memory that the agent had there, and so begins a row.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from polyray.rl.rollout import Arrays, Rollout

Stretch = tuple[int, int]  # first frame and number of frames


def pack(task: NDArray[np.int64], fresh: NDArray[np.bool_], width: int) -> NDArray[np.int64]:
    """Frames in rows of one task each: indices [rows, width] of the n * T frames, -1 behind the last frame of a row.

    Every frame comes once, rows are sorted by task, and a frame whose predecessor in its row is not the one before it
    in its environment is the first of its episode.

    Args:
        task: [n, T], row of the policy for each frame; changes only where an episode begins.
        fresh: [n, T], the frame is the first of its episode.
        width: frames of a row.
    """
    begins = fresh.copy()
    begins[:, 0] = True
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=task.size)
    tasks, carried = task.ravel()[starts], ~fresh.ravel()[starts]
    rows: list[NDArray[np.int64]] = []
    for value in np.unique(tasks).tolist():
        going_on, beginning = (
            deque(zip(starts[chosen].tolist(), lengths[chosen].tolist(), strict=True))
            for chosen in ((tasks == value) & carried, (tasks == value) & ~carried)
        )
        rows += [_row(stretches, width) for stretches in _filled(going_on, beginning, width)]
    return np.stack(rows)


def _filled(going_on: deque[Stretch], beginning: deque[Stretch], width: int) -> Iterator[list[Stretch]]:
    """Stretches of each row: one that goes on stands first, those that begin an episode anywhere."""
    while going_on or beginning:
        stretches, room = list[Stretch](), width
        source = going_on or beginning
        while room and source:
            start, length = source.popleft()
            taken = min(length, room)
            stretches.append((start, taken))
            room -= taken
            if taken < length:
                going_on.append((start + taken, length - taken))
            source = beginning
        yield stretches


def _row(stretches: list[Stretch], width: int) -> NDArray[np.int64]:
    row = np.full(width, -1)
    end = 0
    for start, length in stretches:
        row[end : end + length] = np.arange(start, start + length)
        end += length
    return row


def packed_sequences(rollout: Rollout, more: Arrays, recurrence: int) -> Arrays:
    """Rows of `recurrence` frames, sorted by task, each of one task: arrays [rows, recurrence, ...].

    "real" [rows, recurrence] is false behind the last frame of a row, where the others repeat some frame.

    Args:
        rollout: n environments, T frames each, with the memory before every frame.
        more: further arrays [n, T] (advantages, returns); they replace the rollout's of the same name.
    """
    index = pack(rollout.task, rollout.frames["fresh"], recurrence)
    frames = {name: array.reshape(-1, *array.shape[2:])[index] for name, array in {**rollout.frames, **more}.items()}
    first, shape = index[:, 0], (rollout.task.size, rollout.memory_h.shape[-1])
    frames["memory_h"] = rollout.memory_h.reshape(shape)[first]
    frames["memory_c"] = rollout.memory_c.reshape(shape)[first]
    frames["task"] = rollout.task.ravel()[first]
    frames["real"] = index >= 0
    return frames
