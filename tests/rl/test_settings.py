"""Options of PPO and of the processes that work."""

import pytest
from pydantic import ValidationError

from polyray.rl.settings import ActorOptions, PPOOptions, environments_per_runner


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
