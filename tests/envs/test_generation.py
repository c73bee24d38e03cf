"""Compiled level generation makes minigrid's level from the same random numbers, bit for bit."""

from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
from gymnasium.utils.seeding import np_random
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from polyray.envs.engine.state import FIRST_OBJECT, LOOK_DOOR, ROW, State, empty
from polyray.envs.generation.draft import N_DRAFT
from polyray.envs.generation.families import recipe_of
from polyray.envs.generation.stream import below, stream_of, uniform
from polyray.envs.levels import LEVELS, SUITES, Level
from polyray.envs.missions import decode
from polyray.envs.starts.native import NativeStarts, generate_rows, stacked_recipes
from polyray.envs.starts.reference import captured, minigrid_environment

pytestmark = pytest.mark.agents  # compiles for tens of seconds at first


def native(level: Level, seeds: Sequence[int]) -> tuple[State, NDArray[np.int64]]:
    """Start states compiled from minigrid's seeds, and their streams afterwards."""
    streams = np.array([stream_of(np_random(seed)[0]) for seed in seeds])
    state, rows = empty(len(seeds), level.height, level.width), np.arange(len(seeds))
    work = (np.zeros(N_DRAFT, np.int64), stacked_recipes([level]), streams)
    generate_rows(work, rows, state, rows, 0 * rows, False, np.zeros(1, np.int64))
    return state, streams


def differences(state: State, other: State) -> list[str]:
    """Fields in which two states differ."""
    fields = [name for name in ROW.names or () if not np.array_equal(state.rows[name], other.rows[name])]
    return fields if np.array_equal(state.grid, other.grid) else ["grid", *fields]


def differences_from_minigrid(level: Level, seeds: Sequence[int]) -> list[str]:
    """Fields in which the compiled level differs from minigrid's for one of the seeds."""
    environment = minigrid_environment(level)
    state, streams = native(level, seeds)
    fields = differences(state, captured(environment, seeds))
    return fields if np.array_equal(streams[-1], stream_of(environment.np_random)) else [*fields, "stream"]


def test_a_stream_draws_what_numpys_generator_draws() -> None:
    generator, bounds = np.random.default_rng(5), np.random.default_rng(1)
    stream = stream_of(generator)
    for k in range(3000):
        n = int(bounds.integers(1, 2**32 - 2 if k % 3 == 0 else 30))
        assert below(stream, n) == generator.integers(n)
        if k % 7 == 0:
            assert uniform(stream) == generator.uniform()
    np.testing.assert_array_equal(stream, stream_of(generator))


def test_every_level_that_minigrid_registers_has_a_recipe() -> None:
    assert [name for name, level in LEVELS.items() if recipe_of(level) is None] == []


def test_every_compiled_level_is_minigrids_bit_for_bit() -> None:
    seeds = [*range(6), *range(1000, 1050)]
    fields = {name: differences_from_minigrid(level, seeds) for name, level in LEVELS.items()}
    assert {name: names for name, names in fields.items() if names} == {}


def test_a_stream_goes_on_as_minigrid_does_without_a_new_seed() -> None:
    level = LEVELS["GoToLocal"]
    environment = minigrid_environment(level)
    stream = stream_of(np_random(3)[0])[None]
    state, work = empty(5, 8, 8), (np.zeros(N_DRAFT, np.int64), stacked_recipes([level]), stream)
    generate_rows(work, np.zeros(5, np.int64), state, np.arange(5), np.zeros(5, np.int64), False, np.zeros(1, np.int64))
    with redirect_stdout(StringIO()):
        environment.reset(seed=3)
        for row in range(5):
            assert decode(state.mission[row]) == environment.mission
            assert (state.x[row], state.y[row]) == tuple(environment.agent_pos)
            environment.reset()


def test_a_levels_stream_depends_on_seed_name_and_split_alone() -> None:
    def drawn(names: list[str], name: str, seed: int, split: str, chunks: list[int]) -> State:
        starts = NativeStarts([LEVELS[each] for each in names], seed=seed, split=split)
        state, done = empty(sum(chunks), 22, 22), 0
        for n in chunks:
            starts.fill(state, np.arange(done, done + n), np.full(n, names.index(name)))
            done += n
        return state

    alone = drawn(["GoToObj"], "GoToObj", 1, "training", [9])
    assert differences(alone, drawn(["GoTo", "GoToObj"], "GoToObj", 1, "training", [2, 3, 4])) == []
    for seed, split in ((2, "training"), (1, "evaluation")):
        assert (drawn(["GoToObj"], "GoToObj", seed, split, [9]).grid != alone.grid).any()


def test_restored_starts_go_on_exactly() -> None:
    levels = [LEVELS["GoToObj"], LEVELS["PutNextLocal"]]
    starts, tasks, rows = NativeStarts(levels, seed=4), np.array([0, 1, 1, 0]), np.arange(4)
    state, again = empty(4, 8, 8), empty(4, 8, 8)
    starts.fill(state, rows, tasks)
    positions = starts.state()
    starts.fill(state, rows, tasks)
    other = NativeStarts(levels[::-1], seed=99)
    other.restore(positions)
    other.fill(again, rows, 1 - tasks)
    assert differences(state, again) == []


def counts(state: State) -> dict[str, Counter[object]]:
    """Frequencies of looks, cells, positions of the agent, missions and numbers of doors."""
    cells = np.argwhere(state.grid >= FIRST_OBJECT)
    looks = state.looks[cells[:, 0], state.grid[tuple(cells.T)]]
    agents = np.stack([state.x, state.y, state.direction], axis=1)
    return {
        "looks": Counter(map(tuple, looks.tolist())),
        "cells": Counter(map(tuple, cells[:, 1:].tolist())),
        "agents": Counter(map(tuple, agents.tolist())),
        "missions": Counter(map(decode, state.mission)),
        "doors": Counter((state.looks[:, :, 0] == LOOK_DOOR).sum(axis=1).tolist()),
    }


LONG = [pytest.param(name, marks=pytest.mark.slow) for name in (*SUITES["paper8"], "BossLevel") if name != "GoToLocal"]


@pytest.mark.timeout(1800)  # minigrid takes minutes for ten thousand mazes
@pytest.mark.parametrize("name", ["GoToLocal", *LONG])
def test_ten_thousand_native_levels_are_distributed_as_minigrids(name: str) -> None:
    level, n = LEVELS[name], 10_000
    starts, state = NativeStarts([level], seed=0), empty(n, level.height, level.width)
    starts.fill(state, np.arange(n), np.zeros(n, np.int64))
    ours, theirs = counts(state), counts(captured(minigrid_environment(level), range(n)))
    for aspect, counter in ours.items():
        keys = [key for key in counter | theirs[aspect] if counter[key] + theirs[aspect][key] >= 20]
        if len(keys) > 1:
            table = [[side[aspect][key] for key in keys] for side in (ours, theirs)]
            assert chi2_contingency(table).pvalue > 1e-4, aspect
