"""Start states for evaluation, and the rule that training never sees them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.state import State, copy_rows, empty
from polyray.envs.levels import Level
from polyray.envs.starts.fingerprints import SHARE, fingerprints
from polyray.envs.starts.resumable import starts_for
from polyray.errors import InputError

DRAWS = 20_000  # start states without one that may be held out, after which a level has too few


def evaluation_starts(levels: Sequence[Level], per_level: int, seed: int, *, apart_from: State | None = None) -> State:
    """Held-out start states: row k * per_level + i is the i-th of level number k, which is its `task`.

    They are drawn from the level's own distribution, but only those that are held out by `fingerprints.is_held_out`,
    which training passes over. A level with few different start states may repeat one.

    Args:
        apart_from: start states that are passed over, too.

    Raises:
        InputError: a level has no start state that may be held out, or its environment cannot be played by the engine.
    """
    passed_over = fingerprints(apart_from) if apart_from is not None else np.zeros(0, np.uint64)
    state = empty(len(levels) * per_level, max(level.height for level in levels), max(level.width for level in levels))
    for task, level in enumerate(levels):
        rows = np.arange(per_level) + task * per_level
        copy_rows(_held_out(level, per_level, seed, passed_over), np.arange(per_level), state, rows)
        state.task[rows], state.level[rows] = task, level.code
    return state


def _held_out(level: Level, n: int, seed: int, passed_over: NDArray[np.uint64]) -> State:
    starts = starts_for([level], seed=seed, split="evaluation")
    batches: list[State] = []
    n_drawn = n_chosen = 0
    while n_chosen < n:
        if n_drawn > DRAWS and n_chosen == 0:
            more = f" beside the {len(passed_over)} that are evaluated on at the end" if len(passed_over) else ""
            raise InputError(f"The level {level.name!r} has too few different start states to hold any out{more}.")
        batch = empty(max(n, 64), level.height, level.width)
        starts.fill(batch, np.arange(len(batch.rows)), np.zeros(len(batch.rows), np.int64))
        digests = fingerprints(batch)
        held_out = (digests % SHARE == 0) & ~np.isin(digests, passed_over)
        chosen = batch.at(np.flatnonzero(held_out)[: n - n_chosen])
        batches.append(chosen)
        n_drawn, n_chosen = n_drawn + len(batch.rows), n_chosen + len(chosen.rows)
    return State(
        grid=np.concatenate([batch.grid for batch in batches]), rows=np.concatenate([batch.rows for batch in batches])
    )
