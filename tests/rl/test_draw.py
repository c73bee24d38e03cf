"""A level drawn for every episode: frames packed into rows of one level, equal to environments played one by one."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from policy_cases import LEVELS, N_WORDS, TINY, changed, noise, plain_outputs, policy_of, tensors_of
from torch import Tensor

from polyray.rl.experience import epochs, frames_of, minibatch_losses, sequences_of
from polyray.rl.frames import COLOURS, OBJECTS, STATES, Frames, Outputs
from polyray.rl.packing import pack, packed_sequences
from polyray.rl.player import Player
from polyray.rl.policy import ModularPolicy
from polyray.rl.ppo import ValueNorm
from polyray.rl.rollout import Rollout, shares
from polyray.rl.settings import PPOOptions

N, STEPS, WIDTH = 7, 12, 4
OPTIONS = PPOOptions(environments=N, rollout=STEPS, recurrence=WIDTH, batch=16, epochs=2, draw="episodes")
LIMITS = np.array([2, 5, 17])  # steps of an episode of each level


class State(NamedTuple):
    task: NDArray[np.int64]
    age: NDArray[np.int64]
    seen: NDArray[np.int64]
    mission: NDArray[np.uint8]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, as they are."""
        return self._asdict()


class Noise:
    """Environments of three levels with episodes of fixed lengths, whose images and missions are arbitrary."""

    def __init__(self) -> None:
        self.n, self.tasks = N, np.arange(N) % 3
        self.image, self.mission = np.zeros((N, 7, 7, 3), np.uint8), np.zeros((N, 6), np.uint8)
        self.state = State(self.tasks.copy(), np.zeros(N, np.int64), np.zeros(N, np.int64), self.mission)

    def reset(self, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        self.tasks[rows] = self.state.task[rows] = tasks
        self.state.age[rows] = 0
        self._show(rows)

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        self.state.age[:] += 1
        self.state.seen[:] += 1
        self._show(np.arange(N))
        ended = self.state.age == LIMITS[self.tasks]
        return (0.5 * (ended & (actions > 2))).astype(np.float32), ended, np.zeros(N, np.bool_)

    def _show(self, rows: NDArray[np.int64]) -> None:
        for row in rows.tolist():
            random = np.random.default_rng([row, self.state.seen[row]])
            self.image[row] = random.integers([OBJECTS, COLOURS, STATES], size=(7, 7, 3))
            if self.state.age[row] == 0:
                self.mission[row] = [*random.integers(1, N_WORDS, 2), 0, 0, 0, 0]


class NoStarts:
    """Nothing that a checkpoint would have to hold."""

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        assert state == {}


def player(memory: int, seed: int = 0) -> Player:
    engine: Any = Noise()
    starts: Any = NoStarts()
    generator = torch.Generator().manual_seed(seed)
    return Player(engine, starts, np.arange(3), memory, generator, torch.device("cpu"), draws_levels=True)


def played(policy: ModularPolicy, by: Player) -> Rollout:
    """A rollout in which every step is compared with the readable network's."""
    act = policy.folded(torch.from_numpy(by.task), noise(), torch.arange(3))

    def compared(frames: Frames) -> Outputs:
        frames = Frames(**{**vars(frames), "memory": tuple(state.double() for state in frames.memory)})
        outputs, expected = act(frames), plain_outputs(policy, frames)
        for name, tensor in tensors_of(outputs).items():
            assert torch.allclose(tensor, tensors_of(expected)[name], rtol=1e-9, atol=1e-9), name
        return outputs

    return by.play(compared, STEPS, 1)


def batch_of(rows: dict[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in rows.items()}


def test_every_frame_is_packed_once_with_its_episode_and_the_memory_before_it() -> None:
    random = np.random.default_rng(0)
    for n, steps, width, chance in ((5, 12, 4, 0.2), (9, 8, 8, 0.6), (3, 20, 7, 0.02), (4, 6, 1, 0.5)):
        fresh = random.random((n, steps)) < chance
        task = np.zeros((n, steps), np.int64)
        for environment in range(n):
            level = random.integers(3)
            for step in range(steps):
                level = random.integers(3) if fresh[environment, step] else level
                task[environment, step] = level
        index = pack(task, fresh, width)
        real = index >= 0
        assert sorted(index[real].tolist()) == list(range(n * steps))
        assert real[:, 0].all() and (real[:, 1:] <= real[:, :-1]).all(), "what is filled up stands at the end"
        tasks = [set(task.ravel()[row[row >= 0]].tolist()) for row in index]
        assert all(len(values) == 1 for values in tasks) and tasks == sorted(tasks, key=min)
        follows = (index[:, 1:] == index[:, :-1] + 1) & (index[:, 1:] % steps != 0)
        assert (follows | fresh.ravel()[index[:, 1:]] | ~real[:, 1:]).all()


def test_rows_are_filled_while_an_episode_is_left_that_may_stand_behind_another() -> None:
    fresh = np.zeros((2, 6), np.bool_)
    fresh[0, [0, 2, 4]] = fresh[1, 3] = True  # environment 1 goes on with an earlier episode of 3 frames
    # episodes begin at frames 0, 2, 4 and 9; frames 1 and 5 follow a cut, so each begins a row
    assert pack(np.zeros((2, 6), np.int64), fresh, 4).tolist() == [[6, 7, 8, 0], [1, 2, 3, 4], [5, 9, 10, 11]]


def test_acting_and_learning_equal_the_readable_network_environment_by_environment() -> None:
    for routing in ("expert", "polytropon"):
        policy = policy_of("dense", routing, changed(TINY, memory=3))
        by = player(3)
        for _ in range(2):  # the second rollout begins in the middle of episodes
            rollout = played(policy, by)
            assert len(np.unique(rollout.task)) == 3
            batch = batch_of(packed_sequences(rollout, {}, WIDTH))
            frames = frames_of(batch)
            frames = Frames(**{**vars(frames), "memory": tuple(state.double() for state in frames.memory)})
            outputs, real = policy(frames, noise()), batch["real"]
            logp = outputs.logits.log_softmax(-1).gather(-1, batch["actions"][..., None])[..., 0]
            assert (logp - batch["logp"])[real].abs().max() < 1e-5, routing
            assert (outputs.values - batch["values"])[real].abs().max() < 1e-5, routing


def test_losses_and_gradients_are_means_over_frames_of_the_readable_network() -> None:
    policy = policy_of("dense", "polytropon", changed(TINY, memory=0))
    rollout = played(policy, player(0))
    more = {
        name: np.random.default_rng(number).normal(size=(N, STEPS))
        for number, name in enumerate(("values", "advantages", "returns"))
    }
    batch = batch_of(packed_sequences(rollout, more, 5))
    assert not batch["real"].all(), "some row is filled up"
    outputs = policy(frames_of(batch), noise())
    losses = minibatch_losses(outputs.logits, outputs.values, batch, OPTIONS, 0.01)
    gradients = torch.autograd.grad(losses.total, list(policy.parameters()))
    single = {name: array.reshape(N * STEPS, 1, *array.shape[2:]) for name, array in {**rollout.frames, **more}.items()}
    single |= {"task": rollout.task.ravel(), "memory_h": np.zeros((N * STEPS, 0)), "memory_c": np.zeros((N * STEPS, 0))}
    plain_batch = batch_of(single)
    plain = plain_outputs(policy, frames_of(plain_batch))
    expected = minibatch_losses(plain.logits, plain.values, plain_batch, OPTIONS, 0.01)
    assert losses.total.item() == pytest.approx(expected.total.item(), rel=1e-9)
    for gradient, other in zip(gradients, torch.autograd.grad(expected.total, list(policy.parameters())), strict=True):
        assert torch.allclose(gradient, other, rtol=1e-7, atol=1e-9)


def test_an_epoch_takes_every_packed_row_once_and_learners_share_them() -> None:
    rollout = played(policy_of("dense", "private"), player(0))
    rows, _ = sequences_of(rollout, OPTIONS, ValueNorm())
    n_rows = len(rows["task"])
    rows["number"] = np.arange(n_rows)
    batches = list(epochs(rows, OPTIONS, torch.Generator().manual_seed(0), torch.device("cpu")))
    half = len(batches) // 2
    for epoch in (batches[:half], batches[half:]):
        assert sorted(torch.cat([batch["number"] for batch in epoch]).tolist()) == list(range(n_rows))
    numbers = [batch["number"].tolist() for batch in batches]
    assert numbers[:half] != numbers[half:] and half > 1
    one, two = shares(rows, 2)
    assert len(one["task"]) == len(two["task"]) == n_rows // 2
    assert not set(one["number"].tolist()) & set(two["number"].tolist())


def test_levels_are_drawn_equally_often_whatever_their_length() -> None:
    by, counts = player(0), np.zeros(3)

    def act(frames: Frames) -> Outputs:
        return Outputs(logits=torch.zeros(N, 1, 7), values=torch.zeros(N, 1), memory=frames.memory)

    for _ in range(40):
        begun = by.play(act, STEPS, 1)
        np.add.at(counts, begun.task[begun.frames["fresh"]], 1)
    assert counts.sum() > 300 and (abs(counts / counts.sum() - 1 / 3) < 0.1).all()


def test_a_player_goes_on_exactly_with_the_levels_that_it_drew() -> None:
    policy = policy_of("dense", "private", changed(TINY, memory=3)).float()
    one, other = player(3), player(3, seed=9)

    def play(by: Player) -> Rollout:
        return by.play(policy.folded(torch.from_numpy(by.task), noise(), torch.arange(3)), STEPS, 1)

    play(one)
    other.load(one.state())
    assert other.task.tolist() == one.task.tolist()
    first, second = play(one), play(other)
    assert np.array_equal(first.task, second.task) and np.array_equal(first.memory_h, second.memory_h)
    assert [name for name in first.frames if not np.array_equal(first.frames[name], second.frames[name])] == []


def test_only_the_levels_that_may_come_are_merged() -> None:
    policy = policy_of("dense", "private")
    act = policy.folded(torch.tensor([0, 1]), None, torch.arange(2))
    frames = Frames(
        image=torch.zeros(2, 1, 7, 7, 3, dtype=torch.uint8), mission=torch.ones(2, 1, 6, dtype=torch.uint8),
        fresh=torch.ones(2, 1, dtype=torch.bool), task=torch.tensor([0, LEVELS.index("c")]),
        memory=(torch.zeros(2, 0, dtype=torch.float64),) * 2,
    )  # fmt: skip
    with pytest.raises(ValueError, match="merged for"):
        act(frames)
