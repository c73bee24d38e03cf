"""A training of an agent that is validated on the way: the same training, and the best state however it was stopped."""

from pathlib import Path
from typing import Any

import pytest
from agent_cases import ITERATION, LEVELS, NETWORK, agent_of

from polyray.cluster.rllib.training import Counts, Phase, train
from polyray.envs.levels import levels_of
from polyray.errors import Interrupted
from polyray.rl.policy import ModularPolicy
from polyray.rl.validation import AgentValidationOptions, AgentValidator
from polyray.runs.metrics import METRICS, read_metrics
from polyray.runs.run import Run
from polyray.runs.selection import Keep, Selection

pytest_plugins = ["rllib_fixtures"]
pytestmark = [
    pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("cluster")
]  # fmt: skip
BEFORE, N = 100, 4  # frames of an earlier phase, iterations of this one
OPTIONS = AgentValidationOptions(every=1, episodes=16, dev_episodes=48)
BATCH_NORM = NETWORK.model_copy(update={"norm": "batch"})


def run_phase(
    out: Path, keep: Keep | None = None, n: int = N, every: int = 1
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Exact values of the policy after n iterations, and the figures of the chosen state; keep: None: not validated."""
    out.mkdir(exist_ok=True)
    selection, validator = Selection(keep or "last"), None
    if keep is not None:
        options = OPTIONS.model_copy(update={"every": every})
        validator = AgentValidator(levels_of(None, LEVELS), options, selection, seed=2)
    agent = agent_of(network=BATCH_NORM, save_every=1, lr=1e-2, backbone_lr=1e-2)
    phase = Phase(name="training", frames=n * ITERATION, before=Counts(frames=BEFORE), validator=validator)
    policy, _ = train(agent, phase, Run(out))
    return tensors(policy), selection.figures


def tensors(policy: ModularPolicy) -> dict[str, list[float]]:
    return {name: tensor.flatten().tolist() for name, tensor in policy.state_dict().items()}


def test_validation_disturbs_no_training_and_the_best_state_survives_stops_after_every_iteration(
    tmp_path: Path,
) -> None:
    plain, _ = run_phase(tmp_path / "plain")
    last, figures = run_phase(tmp_path / "last", "last")
    lines = read_metrics(tmp_path / "last")
    scores = [line.pop("validation") for line in lines]
    assert last == plain and lines == read_metrics(tmp_path / "plain")
    assert figures == {"score": scores[-1]["score"], "step": BEFORE + N * ITERATION}
    best, chosen = run_phase(tmp_path / "best", "best")
    successes = [score["score"] for score in scores]
    number = successes.index(max(successes))
    assert chosen == {"score": max(successes), "step": BEFORE + (number + 1) * ITERATION}
    assert 0 < number < N - 1, "the best state is the first or the last one, which shows little"
    assert best == run_phase(tmp_path / "shorter", n=number + 1)[0] != plain
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    for iteration in range(1, N):
        (stopped / "stop").touch()
        with pytest.raises(Interrupted, match=f"Stopped after {iteration * ITERATION} of"):
            run_phase(stopped, "best")
    (stopped / "stop").unlink()
    assert run_phase(stopped, "best") == run_phase(stopped, "best") == (best, chosen)
    assert (stopped / METRICS).read_bytes() == (tmp_path / "best" / METRICS).read_bytes()


def test_a_validation_comes_every_few_iterations_and_at_the_end(tmp_path: Path) -> None:
    run_phase(tmp_path, "last", every=3)
    assert [line["iteration"] for line in read_metrics(tmp_path) if "validation" in line] == [3, 4]
