"""Rollouts, sequences and minibatches on their way from runner to learner, without Ray."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from polyray.rl.episodes import Episodes
from polyray.rl.rollout import Rollout, blocks_of, join, minibatches, n_minibatches, sequences, shares


def episodes_of(*lengths: int) -> Episodes:
    """Episodes of task 0 without reward, each in an environment of its own."""
    n = len(lengths)
    return Episodes(
        task=np.zeros(n, np.int64), reward=np.zeros(n, np.float32), length=np.array(lengths, np.int64),
        started=-np.array(lengths, np.int64), environment=np.arange(n),
    )  # fmt: skip


def rollout(task: list[int], steps: int, pieces: int, first: int = 0) -> Rollout:
    """A rollout whose frame t of environment e has the action 100 * (first + e) + t."""
    n = len(task)
    numbers = 100 * np.arange(first, first + n)[:, None] + np.arange(steps)
    return Rollout(
        frames={"actions": numbers, "rewards": numbers.astype(np.float32)},
        memory_h=numbers[:, :: steps // pieces, None].astype(np.float32),
        memory_c=-numbers[:, :: steps // pieces, None].astype(np.float32),
        last_values=numbers[:, 0].astype(np.float32), task=np.array(task)[:, None].repeat(steps, 1),
        episodes=episodes_of(first + 1), running=episodes_of(*range(n)), environment=1.0, inference=3.0,
    )  # fmt: skip


def test_a_sequence_is_a_piece_of_one_environment_with_the_memory_before_it() -> None:
    rows = sequences(rollout([0, 0, 1, 1], 6, 2), {"rewards": np.arange(24.0).reshape(4, 6)})
    assert rows["actions"].shape == (8, 3)
    assert rows["actions"][3].tolist() == [103, 104, 105]
    assert rows["rewards"][3].tolist() == [9, 10, 11], "an array of `more` replaces the rollout's"
    assert rows["memory_h"][3].tolist() == [103] and rows["memory_c"][3].tolist() == [-103]
    assert rows["task"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_rollouts_of_several_runners_become_one_sorted_by_task() -> None:
    one = rollout([0, 0, 1, 1], 4, 2)
    two = replace(rollout([0, 0, 1, 1], 4, 2, first=4), inference=5.0, environment=2.0)
    both = join([one, two])
    assert both.task.tolist() == [[task] * 4 for task in (0, 0, 0, 0, 1, 1, 1, 1)]
    assert both.frames["actions"][:, 0].tolist() == [0, 100, 400, 500, 200, 300, 600, 700]
    assert both.memory_h[:, 1, 0].tolist() == [2, 102, 402, 502, 202, 302, 602, 702]
    assert both.memory_c[:, 1, 0].tolist() == [-2, -102, -402, -502, -202, -302, -602, -702]
    assert both.last_values.tolist() == [0, 100, 400, 500, 200, 300, 600, 700]
    assert both.episodes.length.tolist() == [1, 5] and both.episodes.environment.tolist() == [0, 4]
    assert both.running.environment.tolist() == list(range(8)) and both.running.length.tolist() == [0, 1, 2, 3] * 2
    assert (both.n_frames, both.environment, both.inference) == (32, 1.5, 4.0)


def test_an_epoch_takes_every_row_once_and_every_minibatch_all_tasks_equally() -> None:
    for n_tasks, each, n in ((1, 8, 4), (3, 10, 4), (8, 2, 2)):
        task = torch.arange(n_tasks).repeat_interleave(each)
        batches = list(minibatches(blocks_of(task), n, torch.Generator().manual_seed(0)))
        assert len(batches) == n
        assert torch.cat(batches).sort().values.tolist() == list(range(n_tasks * each))
        for batch in batches:
            assert task[batch].tolist() == torch.arange(n_tasks).repeat_interleave(len(batch) // n_tasks).tolist()


def test_the_order_of_rows_follows_from_the_seed_and_differs_from_task_to_task() -> None:
    blocks = blocks_of(torch.arange(2).repeat_interleave(50))
    one, same, other = (torch.cat(list(minibatches(blocks, 5, torch.Generator().manual_seed(s)))) for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    of_each_task = [one[one < 50], one[one >= 50] - 50]
    assert not torch.equal(*of_each_task) and not torch.equal(of_each_task[0], torch.arange(50))


def test_rows_in_unequal_blocks_are_refused() -> None:
    for task in ([0, 0, 1], [0, 1, 0, 1]):
        with pytest.raises(ValueError, match="equal blocks"):
            blocks_of(torch.tensor(task))


def test_minibatches_have_about_the_size_asked_for_and_are_never_empty() -> None:
    blocks = blocks_of(torch.arange(8).repeat_interleave(16))  # 64 environments, 40 frames in two pieces
    assert n_minibatches(blocks, 20, 1280) == 2  # the paper's
    assert n_minibatches(blocks, 20, 10**6) == 1
    assert n_minibatches(blocks, 20, 1) == 16


def test_learners_get_different_rows_and_equally_many_of_every_task() -> None:
    rows = {"task": np.repeat(np.arange(2), 5), "actions": np.arange(10)}
    assert shares(rows, 1) == [rows]
    one, two = shares(rows, 2)
    assert one["task"].tolist() == two["task"].tolist() == [0, 0, 1, 1]
    assert one["actions"].tolist() == [0, 2, 5, 7] and two["actions"].tolist() == [1, 3, 6, 8]
