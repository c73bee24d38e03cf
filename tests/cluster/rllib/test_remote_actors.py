"""Agents on RLlib with everything remote: several learners, and runners that go on exactly."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_cases import ITERATION, agent_of

from polyray.cluster.rllib.ppo import ModularPPO
from polyray.rl.settings import ActorOptions, Agent

pytest_plugins = ["rllib_fixtures"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]
Build = Callable[[Agent], ModularPPO]


def learning_states(trained: ModularPPO) -> list[dict[str, Any]]:
    """For every learner the tensors of its policy and of Adam."""
    results = trained.learner_group.foreach_learner(lambda learner: learner.learning_state())
    return [result.get() for result in results]


def same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    """Whether two learning states have the same bits."""
    pairs = [(one["policy"], two["policy"]), *zip(one["adam"], two["adam"], strict=True)]
    return all(torch.equal(first[name], second[name]) for first, second in pairs for name in first)


@pytest.mark.parametrize("draw", ["frames", "episodes"])
def test_two_learners_share_the_work_stay_alike_and_are_restored_alike(build: Build, draw: str, tmp_path: Path) -> None:
    workers = ActorOptions(learners=2)
    whole = build(agent_of(workers=workers, draw=draw))
    whole.train()
    whole.save_checkpoint(str(tmp_path))
    result = whole.train()
    assert result["frames"] == 2 * ITERATION and all(np.isfinite(value) for value in result["losses"].values())
    one, two = learning_states(whole)
    module: Any = whole.get_module()
    played = module.policy.state_dict()
    assert same(one, two) and all(torch.equal(one["policy"][name], played[name]) for name in played)
    whole.stop()
    resumed = build(agent_of(workers=workers, draw=draw))
    resumed.load_checkpoint(str(tmp_path))
    resumed.train()
    assert all(same(one, state) for state in learning_states(resumed))


@pytest.mark.parametrize("draw", ["frames", "episodes"])
def test_remote_runners_go_on_exactly(build: Build, draw: str, tmp_path: Path) -> None:
    workers = ActorOptions(runners=2)
    whole = build(agent_of(workers=workers, draw=draw))
    whole.train()
    whole.save_checkpoint(str(tmp_path))
    last, (expected,) = whole.train(), learning_states(whole)
    whole.stop()
    resumed = build(agent_of(workers=workers, draw=draw))
    resumed.load_checkpoint(str(tmp_path))
    again = resumed.train()
    assert same(expected, learning_states(resumed)[0])
    assert again["tasks"] == last["tasks"]
