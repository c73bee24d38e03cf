"""Options of a training of agents: its goal, its entropy, its environments."""

import pytest
from agent_cases import LEVELS, agent_of
from pydantic import ValidationError

from polyray.errors import InputError
from polyray.rl.settings import ActorOptions, AgentTrainingOptions, PPOOptions


def levels(*pairs: tuple[int, float | None]) -> dict[str, dict[str, float | None]]:
    """Episodes that count and success of some levels, as a line of metrics has them."""
    return {f"level {number}": {"counted": n, "success": success} for number, (n, success) in enumerate(pairs)}


def test_every_level_or_their_mean_has_to_reach_the_goal() -> None:
    every = AgentTrainingOptions(goal=0.9, window=100)
    mean = AgentTrainingOptions(goal=0.9, goal_of="mean", window=100)
    for pairs, reached_by_every, reached_by_mean in [
        ([(100, 0.9), (100, 0.9)], True, True),
        ([(100, 0.89), (100, 1.0)], False, True),
        ([(100, 1.0), (100, 0.79)], False, False),
        ([(500, 1.0)], True, True),
    ]:
        assert every.reached(levels(*pairs)) == reached_by_every, pairs
        assert mean.reached(levels(*pairs)) == reached_by_mean, pairs


def test_no_goal_is_reached_before_every_level_has_a_whole_window_of_episodes() -> None:
    for of in ("every", "mean"):
        options = AgentTrainingOptions.model_validate({"goal": 0.5, "goal_of": of, "window": 100})
        assert not options.reached(levels((99, 1.0), (500, 1.0)))
        assert not options.reached(levels((0, None), (500, 1.0)))
        assert not options.reached({})
        assert options.reached(levels((100, 1.0), (500, 1.0)))


def test_without_a_goal_training_goes_on() -> None:
    assert not AgentTrainingOptions(goal=0, window=1).reached(levels((10, 1.0)))


def test_the_entropy_coefficient_falls_linearly_over_the_frames_of_the_training() -> None:
    options = AgentTrainingOptions(entropy=0.02, entropy_end=0.01, frames=1000)
    coefficients = [options.entropy_after(frames) for frames in (0, 250, 500, 1000, 1064)]
    assert coefficients == pytest.approx([0.02, 0.0175, 0.015, 0.01, 0.01])


def test_every_runner_has_equally_many_environments_of_every_level() -> None:
    def each(environments: int, runners: int) -> int:
        return agent_of(environments=environments, workers=ActorOptions(runners=runners)).environments_per_runner

    assert [each(64, 0), each(63, 0), each(64, 3), each(1, 2)] == [64, 64, 22, 2]


def test_a_rollout_that_does_not_fall_into_pieces_is_refused() -> None:
    with pytest.raises(ValidationError, match="make rollout a multiple of recurrence"):
        PPOOptions(rollout=40, recurrence=30)


def test_levels_are_rows_of_the_policy_and_unknown_ones_are_refused() -> None:
    agent = agent_of()
    assert agent.rows.tolist() == [0, 1]
    swapped = type(agent)(options=agent.options, policy=agent.policy, levels=agent.levels[::-1])
    assert swapped.rows.tolist() == [1, 0]
    policy = type(agent.policy)(**{**vars(agent.policy), "tasks": (LEVELS[0], "GoToObj")})
    with pytest.raises(InputError, match=f"No task of the policy is called {LEVELS[1]!r}"):
        _ = type(agent)(options=agent.options, policy=policy, levels=agent.levels).rows
