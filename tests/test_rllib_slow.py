"""Agents on RLlib with everything remote: several learners, and runners that go on exactly."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_rllib import agent, built, cluster, weights

from polyray.cluster.rllib.algorithm import restore, save

__all__ = ["built", "cluster"]  # fixtures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]


def test_two_learners_share_the_work_and_stay_alike(built: Any) -> None:
    trained = built(agent(learners=2))
    for _ in range(2):
        result = trained.train()
    assert result["frames"] == 128 and all(np.isfinite(value) for value in result["losses"].values())
    one, two = (
        found.get()
        for found in trained.learner_group.foreach_learner(
            lambda learner: {name: tensor.cpu() for name, tensor in learner.policy.state_dict().items()}
        )
    )
    played = trained.get_module().policy.state_dict()
    assert all(torch.equal(one[name], two[name]) and torch.equal(one[name], played[name]) for name in one)


def test_remote_runners_go_on_exactly(built: Any, tmp_path: Path) -> None:
    whole = built(agent(runners=2))
    whole.train()
    save(whole, tmp_path / "kept")
    last = whole.train()
    whole.stop()
    resumed = built(agent(runners=2))
    restore(resumed, tmp_path / "kept")
    again = resumed.train()
    wanted, found = weights(whole), weights(resumed)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert again["tasks"] == last["tasks"]
