"""The job that trains agents, as a user runs it."""

import json
import signal
from pathlib import Path

import pytest
from ray_cases import Run, actors_of, descendants, finish, gone, wait_for_lines

from polyray.config import load_config
from polyray.errors import InputError
from polyray.jobs.babyai import Config, check
from polyray.runs.metrics import read_metrics

TINY = (
    "levels=[GoToObjS4,GoToRedBallNoDists]", "training.environments=8", "training.rollout=8", "training.recurrence=4",
    "training.batch=32", "training.epochs=1", "training.save_every=2", "evaluation.episodes=8", "policy.channels=8",
    "policy.mission=8",
)  # fmt: skip
CURVE = [-0.00103, 0.83299, -0.02268, 0.84878, 8.46719, 0.00711, 0.63336, 4.82528]  # PPO's loss, iteration by iteration
IMITATION = [2.06551, 1.84659, 1.66035]  # loss, epoch by epoch


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["levels=[GoToLcal]"], "Did you mean 'GoToLocal'"),
        (["suite=paper9"], "Did you mean 'paper8'"),
        ([], "levels"),
        (["suite=paper8", "levels=[GoToObj]"], "levels"),
        (["levels=[GoToObj]", "train=row"], "it goes with skills=FOLDER"),
        (["levels=[GoToObj]", "training.recurrence=7"], "recurrence"),
        (["levels=[GoToObj]", "training.frames=100"], "ticket.frames"),
        (["levels=[GoToObj]", "training.draw=episodes", "policy.kind=paper"], "policy.norm=batch"),
        (["levels=[GoToObj]", "routing.kind=hyperformer"], "hyperformer"),
        (["levels=[GoToObj]", "routing.sample=example"], "routing.sample"),
        (["levels=[BossLevel]", "routing.kind=expert"], "BossLevel"),
        (["levels=[GoToObj]", "skills=/nowhere"], "/nowhere holds no inventory"),
    ],
)
def test_wrong_input_is_explained_before_anything_starts(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(load_config(Config, None, overrides))


def start(out: Path, *more: str) -> Run:
    frames = ["ticket.frames=128", "training.frames=512", "cloning.episodes=16", "cloning.epochs=3"]
    validation = ["evaluation.every=2", "evaluation.dev_episodes=8", "training.keep=best"]
    return Run("run", "babyai", "--out", str(out), *TINY, *frames, *validation, *more)


def weights(out: Path) -> dict[str, bytes]:
    folder = out / "skills"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.safetensors")}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("babyai") / "run"
    output = finish(start(out))
    assert "Unseen levels" in output and "Traceback" not in output
    return out


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_run_imitates_learns_and_writes_scores_skills_films_and_a_report(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    assert set(result["metrics"]["tasks"]) == {"GoToObjS4", "GoToRedBallNoDists"}
    assert result["metrics"]["training"]["frames"] == 512
    cloning = result["metrics"]["cloning"]
    assert cloning["losses"][-1] < cloning["losses"][0] and cloning["episodes"] + cloning["failures"] == 32
    lines = read_metrics(run)
    scores = {line["step"]: line["validation"]["score"] for line in lines if "validation" in line}
    best = max(scores, key=lambda step: (scores[step], -step))
    assert result["metrics"]["validation"] == {"score": scores[best], "step": best} and len(scores) == 3
    phases = [json.loads(line)["phase"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert phases == ["dense"] * 2 + ["training"] * 6
    assert (run / "skills" / "inventory" / "inventory.json").exists() and len(
        list((run / "skills").glob("skill-*"))
    ) == 9
    page = (run / "report.html").read_text()
    assert f"state after step {best}" in page
    assert page.count("data:image/gif") == 2 and "Allocation of skills to tasks" in page


@pytest.mark.ray
def test_the_first_losses_are_the_golden_ones(run: Path) -> None:
    """Whoever changes them on purpose puts in the numbers that the failure shows, and says why."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    cloning = json.loads((run / "result.json").read_text())["metrics"]["cloning"]
    assert [line["losses"]["total"] for line in lines] == pytest.approx(CURVE, rel=2e-3, abs=2e-4)
    assert cloning["losses"] == pytest.approx(IMITATION, rel=1e-3)


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_run_interrupted_between_two_checkpoints_saves_one_and_goes_on_in_another_folder_to_the_same_skills(
    run: Path, tmp_path: Path
) -> None:
    out, seldom = tmp_path / "run", "training.save_every=1000"
    process = start(out, seldom)
    wait_for_lines(out / "metrics.jsonl", 4, process)
    children = descendants(process)
    process.send(signal.SIGINT)
    output = finish(process, code=130)
    assert "Resume with: polyray run babyai" in output and "Traceback" not in output
    assert gone(children), "processes were left running"
    saved = [int(folder.name.removeprefix("step-")) for folder in (out / "checkpoints" / "training").iterdir()]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert saved == [lines[-1]["step"]] and 128 < saved[0] < 512
    out = out.rename(tmp_path / "elsewhere")
    finish(start(out, seldom))
    assert weights(out) == weights(run)


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_skills_are_adapted_to_an_unseen_level_and_the_old_rows_stay(run: Path, tmp_path: Path) -> None:
    more = [f"skills={run}/skills", "levels=[GoToObjS6]", "train=row", "training.frames=128"]
    finish(Run("run", "babyai", "--out", str(tmp_path / "new"), *TINY[1:8], *more))
    about = json.loads((tmp_path / "new" / "skills" / "inventory" / "inventory.json").read_text())
    assert about["tasks"] == ["GoToObjS4", "GoToRedBallNoDists", "GoToObjS6"]
    old, new = weights(run), weights(tmp_path / "new")
    same = [name for name in old if "skill-" in name and name.endswith(".safetensors")]
    assert same and all(old[name] == new[name] for name in same)


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_training_goes_on_when_a_runner_is_killed_and_the_report_says_so(tmp_path: Path) -> None:
    out = tmp_path / "run"
    more = ("modules.kind=dense", "workers.runners=2", "training.frames=6400")
    process = Run("run", "babyai", "--out", str(out), *TINY, *more)
    wait_for_lines(out / "metrics.jsonl", 3, process)
    actors_of(process, "BatchedRunner")[0].kill()
    finish(process)
    training = json.loads((out / "result.json").read_text())["metrics"]["training"]
    assert training["frames"] >= 6400
    assert training["runners"] == {"remote": 2, "healthy": 2, "lost": 1, "restarted": 1}
    page = (out / "report.html").read_text()
    assert "runners that were started again" in page and "rollouts that did not come back" in page
