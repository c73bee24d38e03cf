"""The level bank, and the separation of what is trained on from what is evaluated on."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from minigrid.envs.babyai.goto import GoToObj

from polyray.envs.bank import Bank
from polyray.envs.bank_files import captured, environment, read_shard, shard_seeds
from polyray.envs.bank_workers import Order
from polyray.envs.engine.state import State, empty
from polyray.envs.fingerprints import fingerprints
from polyray.envs.generation.starts import NativeStarts
from polyray.envs.levels import LEVELS, SUITES
from polyray.envs.starts import SHARE, MixedStarts, evaluation_starts, starts_for
from polyray.errors import InputError

pytestmark = pytest.mark.agents  # compiles for tens of seconds at first

OBJ, S4 = LEVELS["GoToObj"], LEVELS["GoToObjS4"]


def order(folder: Path, shards: int = 2, size: int = 6) -> Order:
    """Small shards of one small level."""
    return Order(folder=folder, levels=(S4,), seed=7, shards=shards, size=size)


def made(folder: Path, shards: int = 2, size: int = 6) -> Order:
    """The same, carried out."""
    wanted = order(folder, shards, size)
    for number in range(shards):
        wanted.make(S4, number)
    return wanted


def kept(folder: Path, number: int) -> list[int]:
    """Fingerprints of a shard's start states."""
    return read_shard(order(folder).path(S4, number), S4)["fingerprint"].tolist()


def served(bank: Bank, n: int) -> list[int]:
    """Fingerprints of the next n start states."""
    state = empty(n, 6, 6)
    bank.fill(state, np.arange(n), np.zeros(n, np.int64))
    return fingerprints(state).tolist()


def test_a_shard_holds_minigrids_levels_with_their_seeds(tmp_path: Path) -> None:
    wanted = made(tmp_path, shards=1)
    shard = read_shard(wanted.path(S4, 0), S4)
    assert shard["seed"].tolist() == shard_seeds(S4, 7, "training", 0, 6)
    fresh = captured(environment(S4), S4, shard["seed"].tolist())
    assert (shard["grid"] == fresh.grid).all() and (shard["row"]["mission"] == fresh.mission).all()
    assert (shard["fingerprint"] == fingerprints(fresh)).all()


def test_a_round_serves_every_state_once_and_the_order_depends_on_the_seed_alone(tmp_path: Path) -> None:
    bank, other = Bank(made(tmp_path), workers=0), Bank(order(tmp_path), workers=0)
    first = served(bank, 12)
    held = [
        int(found) for number in range(2) for found in read_shard(order(tmp_path).path(S4, number), S4)["fingerprint"]
    ]
    assert sorted(first) == sorted(held)
    assert first == served(other, 5) + served(other, 7)
    second = served(bank, 12)
    assert sorted(second) == sorted(first) and second != first


def test_a_new_shard_is_served_in_the_next_round(tmp_path: Path) -> None:
    bank = Bank(made(tmp_path, shards=1), workers=0)
    served(bank, 6)
    wanted = made(tmp_path, shards=2)
    assert sorted(served(bank, 6)) == sorted(read_shard(wanted.path(S4, 1), S4)["fingerprint"].tolist())


def test_a_restored_bank_goes_on_exactly(tmp_path: Path) -> None:
    bank = Bank(made(tmp_path), workers=0)
    served(bank, 15)
    other = Bank(order(tmp_path), workers=0)
    other.restore(bank.state())
    assert served(other, 20) == served(bank, 20)


@pytest.mark.parametrize("keep", [0, 50, 3000, -1])
def test_a_shard_that_is_cut_off_is_refused(tmp_path: Path, keep: int) -> None:
    path = made(tmp_path).path(S4, 0)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="shard-00000.npy"):
        read_shard(path, S4)


def test_a_damaged_shard_is_refused_and_so_is_another_levels(tmp_path: Path) -> None:
    path = made(tmp_path).path(S4, 0)
    with pytest.raises(InputError, match="no start states of GoToObj "):
        read_shard(path, OBJ)
    content = bytearray(path.read_bytes())
    mission = read_shard(path, S4).dtype["row"].fields["mission"][1]
    content[-read_shard(path, S4).dtype["row"].itemsize + mission] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_shard(path, S4)


def test_without_shards_and_workers_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no workers"):
        served(Bank(order(tmp_path), workers=0), 1)


def test_a_bank_leaves_out_what_is_held_out(tmp_path: Path) -> None:
    wanted = made(tmp_path)
    held = read_shard(wanted.path(S4, 0), S4)["fingerprint"][:2]
    bank = Bank(wanted, held_out=held, workers=0)
    assert not set(served(bank, 10)) & set(held.tolist())
    assert bank.rejected[0] >= 2
    both = np.concatenate([read_shard(wanted.path(S4, number), S4)["fingerprint"] for number in range(2)])
    with pytest.raises(InputError, match="held out"):
        served(Bank(wanted, held_out=both, workers=0), 1)


def test_workers_fill_the_bank_while_it_serves_and_mend_it(tmp_path: Path) -> None:
    made(tmp_path, shards=1)
    path = order(tmp_path).path(S4, 0)
    path.write_bytes(path.read_bytes()[:-100])
    with Bank(order(tmp_path, shards=5), workers=2) as bank:
        seen = set()
        until = time.monotonic() + 60
        while len({number for number in range(5) if order(tmp_path).path(S4, number).exists()}) < 5:
            seen |= set(served(bank, 4))
            assert time.monotonic() < until
            time.sleep(0.05)
    assert all(len(read_shard(order(tmp_path).path(S4, number), S4)) == 6 for number in range(5))


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_owner_however_it_ends(tmp_path: Path, blow: signal.Signals) -> None:
    script = tmp_path / "owner.py"
    script.write_text(
        "import sys, time\nfrom pathlib import Path\n"
        "from polyray.envs.bank import Bank\nfrom polyray.envs.bank_workers import Order\n"
        "from polyray.envs.levels import LEVELS\n"
        "if __name__ == '__main__':\n"
        "    levels = (LEVELS['GoTo'],)\n"
        "    bank = Bank(Order(folder=Path(sys.argv[1]), levels=levels, seed=0, shards=1000), workers=2)\n"
        "    print(*[process.pid for process in bank._workers._processes], flush=True)\n"
        "    time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, str(script), str(tmp_path / "bank")], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    workers = [int(pid) for pid in owner.stdout.readline().split()]
    time.sleep(3)
    owner.send_signal(blow)
    owner.wait()
    owner.stdout.close()
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_fingerprint_ignores_numbering_and_padding_and_sees_all_else() -> None:
    starts, state, wide = NativeStarts([S4], seed=0), empty(1, 4, 4), empty(1, 9, 7)
    row = np.zeros(1, np.int64)
    starts.fill(state, row, row)
    NativeStarts([S4], seed=0).fill(wide, row, row)
    found = fingerprints(state)[0]
    assert found == fingerprints(wide)[0]
    for other in changed(wide):
        assert fingerprints(other)[0] != found


def changed(state: State) -> list[State]:
    """Start states that differ from this one in one thing."""
    others = [State(grid=state.grid.copy(), rows=state.rows.copy()) for _ in range(6)]
    others[0].x[0] += 1
    others[1].direction[0] = (others[1].direction[0] + 1) % 4
    others[2].looks[0, 2, 1] += 1
    others[3].contents[0, 2] = 2
    others[4].mission[0, 3] += 1
    others[5].grid[0, 6, 6] = 0
    return others


def test_evaluation_states_are_the_levels_own_and_repeatable() -> None:
    levels = [OBJ, S4]
    state, again = evaluation_starts(levels, 40, 3), evaluation_starts([S4], 40, 3)
    assert state.task.tolist() == [0] * 40 + [1] * 40
    assert (fingerprints(state) % SHARE == 0).all()
    assert (fingerprints(state)[40:] == fingerprints(again)).all()
    assert (state.limit == np.repeat([64, 16], 40)).all()


def test_training_never_sees_an_evaluation_state() -> None:
    held = fingerprints(evaluation_starts([OBJ], 512, 1))
    n = 20_000
    plain, apart, state = starts_for([OBJ], seed=1), starts_for([OBJ], seed=1, held_out=held), empty(n, 8, 8)
    plain.fill(state, np.arange(n), np.zeros(n, np.int64))
    shared = np.isin(fingerprints(state), held).sum()
    assert shared > 100  # there are few different start states, so without the rule they meet
    apart.fill(state, np.arange(n), np.zeros(n, np.int64))
    assert not np.isin(fingerprints(state), held).any()
    assert apart.rejected[0] >= shared


def test_native_and_banked_levels_are_served_together(tmp_path: Path) -> None:
    parts = [NativeStarts([OBJ], seed=7), Bank(made(tmp_path), workers=0)]
    mixed = MixedStarts([S4, OBJ], parts)
    state = empty(6, 8, 8)
    mixed.fill(state, np.arange(6), np.array([0, 1, 0, 1, 1, 0]))
    assert state.limit.tolist() == [16, 64, 16, 64, 64, 16]
    kept = mixed.state()
    assert set(kept) == {"GoToObj", "GoToObjS4"}
    mixed.fill(state, np.arange(6), np.array([0, 1, 0, 1, 1, 0]))
    other = MixedStarts([OBJ, S4], [Bank(order(tmp_path), workers=0), NativeStarts([OBJ], seed=7)])
    other.restore(kept)
    again = empty(6, 8, 8)
    other.fill(again, np.arange(6), np.array([1, 0, 1, 0, 0, 1]))
    assert (fingerprints(again) == fingerprints(state)).all()


def test_every_level_has_start_states_to_hold_out() -> None:
    levels = [LEVELS[name] for name in SUITES["all"]]
    state = evaluation_starts(levels, 64, 0)
    assert (np.bincount(state.task) == 64).all()


@pytest.mark.parametrize(
    ("name", "maker", "message"),
    [
        ("wide", lambda: GoToObj(agent_view_size=9), "'wide' cannot be batched with others: its images show 9x9"),
        ("small", lambda: GoToObj(room_size=6), "'small' is 8x8 tiles in the table of levels, but 6x6"),
        (
            "empty",
            lambda: gymnasium.make("MiniGrid-Empty-5x5-v0"),
            "'empty' cannot be batched: .* is of the class EmptyEnv",
        ),
    ],
)
def test_a_level_of_another_shape_is_refused(name: str, maker: Callable[[], gymnasium.Env], message: str) -> None:
    level = replace(OBJ, name=name, env_id=f"PolyrayTest-{name}-v0")
    gymnasium.register(level.env_id, maker)
    with pytest.raises(InputError, match=message):
        evaluation_starts([OBJ, level], 4, 0)
