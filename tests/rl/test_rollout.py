"""What flows from runner to learner, without Ray: rollouts, sequences, minibatches, figures."""

from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from polyray.rl.player import draw
from polyray.rl.rollout import Episodes, Rollout, blocks_of, joined, minibatches, n_minibatches, sequences, shares
from polyray.rl.settings import ActorOptions, PPOOptions, environments_per_runner
from polyray.rl.tally import Tally


def none() -> Episodes:
    return Episodes(task=np.zeros(0, np.int64), reward=np.zeros(0, np.float32), length=np.zeros(0, np.int64))


def rollout(task: list[int], steps: int, pieces: int, first: int = 0) -> Rollout:
    """A rollout whose frame t of environment e has the action 100 * (first + e) + t."""
    n = len(task)
    numbers = 100 * np.arange(first, first + n)[:, None] + np.arange(steps)
    return Rollout(
        frames={"actions": numbers, "rewards": numbers.astype(np.float32)},
        memory_h=numbers[:, :: steps // pieces, None].astype(np.float32),
        memory_c=-numbers[:, :: steps // pieces, None].astype(np.float32),
        last_values=np.zeros(n, np.float32), task=np.array(task), episodes=none(), environment=1.0, inference=3.0,
    )  # fmt: skip


def test_a_sequence_is_a_piece_of_one_environment_with_the_memory_before_it() -> None:
    rows = sequences(rollout([0, 0, 1, 1], 6, 2), {"returns": np.zeros((4, 6), np.float32)})
    assert rows["actions"].shape == (8, 3) and rows["returns"].shape == (8, 3)
    assert rows["actions"][3].tolist() == [103, 104, 105]
    assert rows["memory_h"][3].tolist() == [103] and rows["memory_c"][3].tolist() == [-103]
    assert rows["task"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_rollouts_of_several_runners_become_one_sorted_by_task() -> None:
    one, two = rollout([0, 0, 1, 1], 4, 2), replace(rollout([0, 0, 1, 1], 4, 2, first=4), inference=5.0)
    both = joined([one, two])
    assert both.task.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert both.frames["actions"][:, 0].tolist() == [0, 100, 400, 500, 200, 300, 600, 700]
    assert both.memory_h[:, 1, 0].tolist() == [2, 102, 402, 502, 202, 302, 602, 702]
    assert (both.n_frames, both.environment, both.inference) == (32, 1.0, 4.0)


@pytest.mark.parametrize(("n_tasks", "each", "n"), [(1, 8, 4), (3, 10, 4), (8, 2, 2)])
def test_an_epoch_takes_every_row_once_and_every_minibatch_all_tasks_equally(n_tasks: int, each: int, n: int) -> None:
    task = torch.arange(n_tasks).repeat_interleave(each)
    parts = list(minibatches(blocks_of(task), n, torch.Generator().manual_seed(0)))
    assert len(parts) == n
    assert torch.cat(parts).sort().values.tolist() == list(range(n_tasks * each))
    for part in parts:
        assert task[part].tolist() == torch.arange(n_tasks).repeat_interleave(len(part) // n_tasks).tolist()


def test_the_order_of_rows_follows_from_the_seed() -> None:
    blocks = blocks_of(torch.arange(2).repeat_interleave(50))
    one, same, other = (torch.cat(list(minibatches(blocks, 5, torch.Generator().manual_seed(s)))) for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("task", [[0, 0, 1], [0, 1, 0, 1]])
def test_rows_in_unequal_blocks_are_refused(task: list[int]) -> None:
    with pytest.raises(ValueError, match="equal blocks"):
        blocks_of(torch.tensor(task))


def test_minibatches_have_about_the_wanted_size_and_are_never_empty() -> None:
    blocks = blocks_of(torch.arange(8).repeat_interleave(16))  # 64 environments, 40 frames in two pieces
    assert n_minibatches(blocks, 20, 1280) == 2  # the paper's
    assert n_minibatches(blocks, 20, 10**6) == 1
    assert n_minibatches(blocks, 20, 1) == 16


def test_learners_get_different_rows_and_equally_many_of_every_task() -> None:
    rows = {"task": np.repeat(np.arange(2), 5), "actions": np.arange(10)}
    one, two = shares(rows, 2)
    assert one["task"].tolist() == two["task"].tolist() == [0, 0, 1, 1]
    assert not set(one["actions"]) & set(two["actions"])


@pytest.mark.parametrize("window", [100, 7])
def test_figures_are_those_of_a_slow_count(window: int) -> None:
    random = np.random.default_rng(0)
    tally, slow = Tally(["a", "b", "c"], window), [deque[bool](maxlen=window) for _ in range(3)]
    for n in (0, 3, 250, 40, 77):
        part = Episodes(
            task=random.integers(0, 2, n), reward=random.choice(np.array([0, 0.7], np.float32), n),
            length=random.integers(1, 64, n),
        )  # fmt: skip
        tally.add(part)
        for task, reward in zip(part.task, part.reward, strict=True):
            slow[task].append(bool(reward > 0))
        rates = tally.success()
        assert all(rates[task] == pytest.approx(np.mean(slow[task])) for task in (0, 1) if slow[task])
    figures = tally.figures(part)
    assert (figures["episodes"], figures["episodes_now"]) == (370, 77)
    chosen = part.task == 1
    assert figures["tasks"]["b"]["success_now"] == pytest.approx((part.reward[chosen] > 0).mean())
    assert figures["tasks"]["b"]["length_mean"] == pytest.approx(part.length[chosen].mean())
    assert figures["tasks"]["c"] == {
        "episodes": 0, "success": None, "success_now": None, "return_mean": None, "length_mean": None
    }  # fmt: skip
    fresh = Tally(["a", "b", "c"], window)
    fresh.load(tally.state())
    assert fresh.figures(part) == figures


def test_actions_are_drawn_as_the_logits_say() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, 0.5, 0.0, -3.0, 2.0]]).expand(20_000, -1)
    actions, logp = draw(logits, torch.Generator().manual_seed(0))
    wanted = logits[0].softmax(0)
    assert torch.allclose(actions.bincount(minlength=7) / len(actions), wanted, atol=0.012)
    assert torch.allclose(logp, wanted.log()[actions], atol=1e-5)


def test_every_runner_has_equally_many_environments_of_every_task() -> None:
    def each(environments: int, tasks: int, runners: int) -> int:
        return environments_per_runner(environments, tasks, ActorOptions(runners=runners))

    assert [each(64, 8, 0), each(64, 3, 0), each(64, 8, 3), each(1, 8, 2)] == [64, 66, 24, 8]


def test_a_rollout_that_does_not_fall_into_pieces_is_refused() -> None:
    with pytest.raises(ValidationError, match="make rollout a multiple of recurrence"):
        PPOOptions(rollout=40, recurrence=30)


def test_the_entropy_schedule_is_what_rllib_takes() -> None:
    assert PPOOptions().entropy_schedule(500) == [[0, 0.01], [500, 0.01]]
    assert PPOOptions(entropy_end=0.001).entropy_schedule(500) == [[0, 0.01], [500, 0.001]]
