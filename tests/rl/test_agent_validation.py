"""Validation of an agent while it trains: on which start states, what it scores, and that it disturbs nothing."""

import copy
import random

import numpy as np
import pytest
import torch
from policy_cases import TINY_PAPER, changed

from polyray.config import load_config
from polyray.envs.levels import levels_of
from polyray.envs.starts.evaluation import evaluation_starts
from polyray.envs.starts.fingerprints import SHARE, fingerprints
from polyray.errors import InputError
from polyray.jobs.babyai import Config, check
from polyray.modules.dense import DenseOptions
from polyray.modules.options import ModuleOptions
from polyray.rl.evaluation import STATES, play
from polyray.rl.start import fresh_policy
from polyray.rl.validation import DEV_ACTIONS, DEV_STATES, AgentValidationOptions, AgentValidator
from polyray.routing import RoutingOptions
from polyray.runs.selection import Selection

LEVELS = levels_of(None, ("GoToObjS4", "GoToRedBallNoDists"))
OPTIONS = AgentValidationOptions(every=3, episodes=40, dev_episodes=24)


@pytest.mark.agents
def test_dev_states_are_held_out_and_none_that_the_evaluation_at_the_end_takes() -> None:
    scored = evaluation_starts(LEVELS[:1], 200, STATES)
    either = fingerprints(evaluation_starts(LEVELS[:1], 300, DEV_STATES))
    dev = fingerprints(evaluation_starts(LEVELS[:1], 300, DEV_STATES, apart_from=scored))
    assert np.isin(either, fingerprints(scored)).any(), "without a rule they meet"
    assert not np.isin(dev, fingerprints(scored)).any() and not (dev % SHARE).any()
    others = either[~np.isin(either, fingerprints(scored))]
    assert dev[: len(others)].tolist() == others.tolist(), "the others keep their order"


@pytest.mark.agents
def test_a_level_whose_held_out_states_are_all_evaluated_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyray.envs.starts.evaluation.DRAWS", 100)
    monkeypatch.setattr(np, "isin", lambda digests, others: np.full(len(digests), len(others) > 0))
    with pytest.raises(InputError, match="'GoToObjS4' has too few .* beside the 40 that are evaluated on at the end"):
        AgentValidator(LEVELS, OPTIONS, Selection("last"), seed=1)


@pytest.mark.agents
def test_a_policy_is_scored_by_its_success_on_each_level_and_stays_as_it_is() -> None:
    routing = RoutingOptions.model_validate({"kind": "polytropon", "n_skills": 2, "sample": "task"})
    modules = ModuleOptions(kind="dense", options=DenseOptions())
    policy = fresh_policy(changed(TINY_PAPER, norm="batch"), [level.name for level in LEVELS], modules, routing, seed=3)
    policy.eval()
    policy.router.train()  # as between two rollouts
    modes = {name: module.training for name, module in policy.named_modules()}
    before = copy.deepcopy(policy.state_dict())
    states = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]
    validator = AgentValidator(LEVELS, OPTIONS, Selection("best"), seed=1)
    first, second = validator(64, policy), validator(128, policy)
    assert first == second and validator.selection.figures == {"score": first["score"], "step": 64}
    assert {name: module.training for name, module in policy.named_modules()} == modes
    torch.testing.assert_close(policy.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[2]
    assert np.random.get_state()[1].tolist() == states[1]  # type: ignore[index]
    for level in LEVELS:
        starts = evaluation_starts([level], 24, DEV_STATES, apart_from=evaluation_starts([level], 40, STATES))
        played = play(copy.deepcopy(policy), level, starts, torch.Generator().manual_seed(1 + DEV_ACTIONS))
        assert first["tasks"][level.name] == played.success.mean()
    assert first["score"] == pytest.approx(sum(first["tasks"].values()) / 2) and 0 < first["score"] < 1
    assert [validator.is_due(n, at_end=n == 4) for n in range(1, 7)] == [False, False, True, True, False, True]


def test_a_validation_that_cannot_be_is_refused_before_anything_starts() -> None:
    for overrides, message in (
        (["training.keep=best"], r"training\.keep=best .* set evaluation\.every above 0"),
        (["evaluation.dev_episodes=4"], r"dev_episodes .* not read: evaluation\.every is 0"),
    ):
        with pytest.raises(InputError, match=message):
            check(load_config(Config, overrides=["levels=[GoToObj]", *overrides]))
