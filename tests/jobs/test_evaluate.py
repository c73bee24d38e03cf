"""The job that scores skills: one for language models and agents."""

import json
from pathlib import Path

import numpy as np
import pytest
from job_cases import TINY_SUITE, train
from numpy.typing import NDArray
from policy_cases import TINY, changed

from polyray.config import load_config
from polyray.envs.engine.engine import Engine
from polyray.envs.levels import levels_of
from polyray.envs.missions import VOCABULARY
from polyray.envs.starts.fingerprints import SHARE, fingerprints
from polyray.errors import InputError, Interrupted
from polyray.jobs.evaluate import SCORERS, Config, run
from polyray.modules.lora import LoraOptions
from polyray.modules.options import ModuleOptions
from polyray.rl.evaluation import AgentEvaluationOptions, evaluate
from polyray.rl.imitation import CloningOptions, imitate
from polyray.rl.policy_folder import load_policy, save_policy
from polyray.rl.settings import AgentTrainingOptions
from polyray.rl.start import fresh_policy
from polyray.routing import RoutingOptions
from polyray.runs.run import Run

LEVELS = ("GoToObjS4", "GoToRedBallNoDists")


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The skills of an agent that nothing was taught, of a run with seed 5."""
    folder = tmp_path_factory.mktemp("agent") / "skills"
    lora, private = ModuleOptions(kind="lora", options=LoraOptions(rank=2)), {"kind": "private"}
    policy = fresh_policy(changed(TINY, memory=3), LEVELS, lora, RoutingOptions.model_validate(private), seed=5)
    save_policy(folder, policy, VOCABULARY, seed=5)
    return folder


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The skills of a tiny language model."""
    out = tmp_path_factory.mktemp("language")
    train(out, "training.steps=4")
    return out / "skills"


@pytest.mark.agents
def test_an_agent_is_scored_on_its_levels_as_the_run_that_trained_it_scores_it(agent: Path, tmp_path: Path) -> None:
    config = load_config(Config, None, [f"skills={agent}", "agent.episodes=8", "agent.videos=1"])
    metrics = run(config, Run(tmp_path)).metrics
    policy = fresh_policy(
        changed(TINY, memory=3), LEVELS, ModuleOptions(kind="lora", options=LoraOptions(rank=2)),
        RoutingOptions.model_validate({"kind": "private"}), seed=5,
    )  # fmt: skip
    by_level = evaluate(policy, levels_of(None, LEVELS), AgentEvaluationOptions(episodes=8), 5, Run(tmp_path))
    assert metrics["tasks"] == by_level and list(by_level) == list(LEVELS)
    assert metrics["mean"] == pytest.approx(sum(level["success"] for level in by_level.values()) / 2)
    assert {file.name for file in (tmp_path / "videos").iterdir()} == {f"{name}-0.gif" for name in LEVELS}


@pytest.mark.agents
def test_one_of_the_levels_alone_has_the_same_score(agent: Path, tmp_path: Path) -> None:
    both, one = (
        run(load_config(Config, None, [f"skills={agent}", "agent.episodes=8", "agent.videos=0", *more]), Run(tmp_path))
        for more in ([], [f"score.tasks=[{LEVELS[1]}]"])
    )
    assert one.metrics["tasks"] == {LEVELS[1]: both.metrics["tasks"][LEVELS[1]]}


@pytest.mark.agents
def test_every_run_is_scored_and_filmed_on_the_same_states_which_no_training_sees(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, levels = load_policy(agent, VOCABULARY), levels_of(None, LEVELS)
    begun: list[list[int]] = []
    reset = Engine.reset

    def note(engine: Engine, rows: NDArray[np.int64] | None = None) -> None:
        reset(engine, rows)
        begun.append(fingerprints(engine.state).tolist())

    monkeypatch.setattr(Engine, "reset", note)
    for seed, episodes in ((5, 8), (6, 12)):
        evaluate(policy, levels, AgentEvaluationOptions(episodes=episodes, videos=2), seed, Run(tmp_path))
    first, second = begun[:6], begun[6:]  # of each level the scored episodes and two films
    assert [states[:8] for states in second] == first
    assert first[1] + first[2] == first[0][:2] and first[4] + first[5] == first[3][:2]
    assert not np.any(np.concatenate(begun) % SHARE)


@pytest.mark.agents
def test_an_evaluation_that_is_asked_to_stop_stops_between_levels(agent: Path, tmp_path: Path) -> None:
    policy, levels = load_policy(agent, VOCABULARY), levels_of(None, LEVELS)
    (tmp_path / "stop").touch()
    with pytest.raises(Interrupted, match="after 0 of 2 levels"):
        evaluate(policy, levels, AgentEvaluationOptions(episodes=8), 0, Run(tmp_path))
    with pytest.raises(Interrupted, match="imitation"):
        imitate(policy, levels, CloningOptions(episodes=2), AgentTrainingOptions(), Run(tmp_path))


def test_options_that_the_kind_of_skills_does_not_read_are_refused(agent: Path, language: Path) -> None:
    for folder, options, owner in [
        (agent, ("suite=conll", "tasks.planted.train_subsets=2", "evaluation.beams=4", "score.split=dev",
                 "score.mixed=2", "score.gpus=1", "text.max_input=3"), "an agent"),
        (language, ("agent.episodes=3", "agent.videos=0", "agent.sample=false"), "a language model"),
    ]:  # fmt: skip
        for option in options:
            with pytest.raises(InputError, match=f"is not read: .* holds skills of {owner}"):
                load_config(Config, None, [f"skills={folder}", option])


def test_tasks_that_the_skills_do_not_know_and_folders_without_skills_are_refused(
    agent: Path, language: Path, tmp_path: Path
) -> None:
    for overrides, message in [
        (
            [f"skills={agent}", "score.tasks=[GoTo]"],
            "'GoTo' is not a task that .* was trained on. Did you mean",
        ),
        ([f"skills={language}", *TINY_SUITE, "score.tasks=[x]"], "'x' is not a task that"),
        ([f"skills={tmp_path}"], "holds no inventory of skills"),
        ([], "evaluate needs skills=FOLDER"),
    ]:
        with pytest.raises(InputError, match=message):
            run(load_config(Config, None, overrides), Run(tmp_path))


def test_every_kind_of_backbone_that_writes_cards_has_a_scorer(agent: Path, language: Path) -> None:
    kinds = {
        json.loads((folder / "inventory" / "inventory.json").read_text())["backbone"]["kind"]
        for folder in (agent, language)
    }
    assert len(kinds) == 2 and kinds <= set(SCORERS)
