"""A policy and a batch of environments playing together, on environments whose every step is known beforehand."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from polyray.rl.frames import Frames, Outputs
from polyray.rl.player import Player, draw
from polyray.rl.rollout import Rollout

STEPS, PIECE = 12, 4
PERIODS = np.array([2, 3, 5, 100])  # steps of every episode of each environment; odd ones succeed


class State(NamedTuple):
    age: NDArray[np.int64]
    task: NDArray[np.int64]

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        """The arrays by name, as they are."""
        return self._asdict()

    def __call__(self) -> dict[str, Any]:
        """State of a source of start states."""
        return {}


class Clockwork:
    """Four environments that show the time: image[..., 0] is the step of the episode, [..., 1] that of the engine."""

    def __init__(self) -> None:
        self.n, self.tasks = 4, np.array([0, 0, 1, 1])
        self.image = np.zeros((4, 7, 7, 3), np.uint8)
        self.direction, self.mission = np.zeros(4, np.uint8), np.zeros((4, 5), np.uint8)
        self.age = np.zeros(4, np.int64)
        self.state = State(self.age, self.tasks)

    def reset(self, rows: NDArray[np.int64] | None = None) -> None:
        chosen = np.arange(4) if rows is None else rows
        self.age[chosen] = 0
        self.image[chosen, ..., 0] = 0

    def restore(self, state: dict[str, Any]) -> None:
        assert state == {}

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        assert actions.shape == (4,) and actions.dtype == np.int64
        self.age += 1
        self.image[..., 0] = self.age[:, None, None]
        self.image[..., 1] += 1
        ended = self.age == PERIODS
        return (0.5 * (ended & (PERIODS % 2 == 1))).astype(np.float32), ended & (PERIODS > 2), ended & (PERIODS == 2)


def act(frames: Frames) -> Outputs:
    """Remember the number of frames of the episode so far, which is the value, too."""
    assert torch.equal(frames.memory[1], -frames.memory[0]) and frames.task.tolist() == [5, 5, 7, 7]
    count = frames.memory[0] * ~frames.fresh + 1
    return Outputs(logits=torch.zeros(4, 1, 7), values=count, memory=(count, -count))


def player(seed: int = 0) -> Player:
    clockwork: Any = Clockwork()
    return Player(clockwork, clockwork, np.array([5, 7]), 1, torch.Generator().manual_seed(seed), torch.device("cpu"))


@pytest.fixture(scope="module")
def rollout() -> Rollout:
    return player().play(act, STEPS, PIECE)


def test_every_frame_is_seen_before_its_action_and_every_reward_comes_with_the_step_that_earned_it(
    rollout: Rollout,
) -> None:
    frames = rollout.frames
    ages = np.arange(STEPS) % PERIODS[:, None]
    assert np.array_equal(frames["image"][:, :, 3, 3, 0], ages)
    assert np.array_equal(frames["image"][:, :, 0, 0, 1], np.broadcast_to(np.arange(STEPS), (4, STEPS)))
    assert np.array_equal(frames["fresh"], ages == 0)
    assert np.array_equal(frames["dones"], ages == PERIODS[:, None] - 1)
    assert np.array_equal(frames["rewards"], 0.5 * (frames["dones"] & (PERIODS[:, None] % 2 == 1)))
    assert np.array_equal(frames["values"], ages + 1)
    assert np.allclose(frames["logp"], np.log(1 / 7))


def test_memory_is_kept_as_it_was_before_each_piece(rollout: Rollout) -> None:
    preceding = np.arange(-1, STEPS - 1, PIECE) % PERIODS[:, None] + 1
    preceding[:, 0] = 0
    assert np.array_equal(rollout.memory_h[..., 0], preceding) and np.array_equal(rollout.memory_c[..., 0], -preceding)
    assert np.array_equal(rollout.last_values, STEPS % PERIODS + 1)


def test_episodes_come_in_the_order_in_which_they_end(rollout: Rollout) -> None:
    episodes = rollout.episodes
    ends = sorted((end, e) for e in range(3) for end in range(PERIODS[e], STEPS + 1, PERIODS[e]))
    assert episodes.length.tolist() == [PERIODS[e] for _, e in ends]
    assert episodes.task.tolist() == [e // 2 for _, e in ends]
    assert episodes.reward.tolist() == [0.5 * (PERIODS[e] % 2) for _, e in ends]
    assert [(e, start) for e, start in zip(episodes.environment, episodes.started, strict=True)] == [
        (e, end - PERIODS[e]) for end, e in ends
    ]


def test_an_episode_under_way_keeps_its_start_from_rollout_to_rollout() -> None:
    clock = player()
    for number in (1, 2):
        running = clock.play(act, STEPS, PIECE).running
        ages = number * STEPS % PERIODS
        assert running.environment.tolist() == [0, 1, 2, 3] and running.task.tolist() == [0, 0, 1, 1]
        assert running.length.tolist() == ages.tolist() and running.started.tolist() == (STEPS - ages).tolist()


def test_seconds_of_policy_and_environments_are_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)

    def slow_act(frames: Frames) -> Outputs:
        nonlocal now
        now += 2.0
        return act(frames)

    slow_player = player()
    step = slow_player.engine.step

    def slow_step(actions: NDArray[np.int64]) -> Any:
        nonlocal now
        now += 3.0
        return step(actions)

    monkeypatch.setattr(slow_player.engine, "step", slow_step)
    timed = slow_player.play(slow_act, STEPS, PIECE)
    assert (timed.inference, timed.environment) == (2.0 * (STEPS + 1), 3.0 * STEPS)


def test_a_player_goes_on_exactly_where_its_state_was_taken() -> None:
    one, other = player(), player(seed=9)
    one.play(act, STEPS + 1, STEPS + 1)
    other.load(one.state())
    first, second = one.play(act, STEPS, PIECE), other.play(act, STEPS, PIECE)
    assert [name for name in first.frames if not np.array_equal(first.frames[name], second.frames[name])] == []
    assert np.array_equal(first.memory_h, second.memory_h)
    assert all(np.array_equal(array, vars(second.episodes)[name]) for name, array in vars(first.episodes).items())
    assert len(np.unique(first.frames["actions"])) == 7


def test_actions_are_drawn_as_the_logits_say() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, 0.5, 0.0, -3.0, 2.0]]).expand(20_000, -1)
    actions, logp = draw(logits, torch.Generator().manual_seed(0))
    chances = logits[0].softmax(0)
    assert torch.allclose(actions.bincount(minlength=7) / len(actions), chances, atol=0.012)
    assert torch.allclose(logp, chances.log()[actions], atol=1e-5)
    assert torch.equal(draw(logits, torch.Generator().manual_seed(0))[0], actions)
