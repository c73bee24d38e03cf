"""A phase of a training: its lines of metrics, its checkpoints, and where it goes on."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_cases import ITERATION, agent_of
from gathering import for_each

from polyray.cluster.rllib.training import Counts, Phase, train
from polyray.errors import Interrupted
from polyray.rl.policy import ModularPolicy
from polyray.runs.metrics import METRICS, read_metrics
from polyray.runs.run import Run
from polyray.runs.sums import SUMS, damage, sums_of

pytest_plugins = ["rllib_fixtures"]
pytestmark = [
    pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("cluster")
]  # fmt: skip
SEARCH = Counts(frames=100, episodes=7, lost=1, restarted=1)
PHASE = Phase(name="training", frames=3 * ITERATION, before=SEARCH)


def run_phase(out: Path, phase: Phase = PHASE, **options: Any) -> tuple[ModularPolicy, dict[str, Any]]:
    """Run the phase, or go on with it, in the folder `out`."""
    out.mkdir(exist_ok=True)
    return train(agent_of(save_every=1, **options), phase, Run(out))


def checkpoints(out: Path) -> list[str]:
    """Names of the checkpoints, oldest first."""
    return sorted(path.name for path in (out / "checkpoints" / "training").iterdir())


def tensors(policy: ModularPolicy) -> dict[str, list[float]]:
    """The exact values of a policy."""
    return {name: tensor.flatten().tolist() for name, tensor in policy.state_dict().items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cluster: None) -> tuple[Path, dict[str, list[float]]]:
    """The folder and the policy of a phase that was never stopped."""
    out = tmp_path_factory.mktemp("phase") / "whole"
    return out, tensors(run_phase(out)[0])


def test_a_step_is_a_frame_of_the_whole_run_and_counts_go_on(whole: tuple[Path, Any]) -> None:
    lines = read_metrics(whole[0], "training")
    assert [line["step"] for line in lines] == [164, 228, 292]
    assert [line["iteration"] for line in lines] == [1, 2, 3]
    last = lines[-1]
    assert last["episodes"] == 7 + sum(level["episodes"] for level in last["tasks"].values())
    assert last["runners"] == {"remote": 0, "healthy": 0, "lost": 1, "restarted": 1}
    assert checkpoints(whole[0]) == ["step-00000228", "step-00000292"]
    assert "seconds" not in last


def flip(checkpoint: Path) -> None:
    file = checkpoint / "training.safetensors"
    content = bytearray(file.read_bytes())
    content[-100:] = bytes(byte ^ 1 for byte in content[-100:])
    file.write_bytes(content)


def cut(checkpoint: Path) -> None:
    file = checkpoint / "training.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


class Planted:
    """Whoever loads the pickle of this makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def plant(checkpoint: Path) -> None:
    """Put pickles under the names of RLlib's files and instead of one of ours; each would make the file `ran`."""
    content = pickle.dumps(Planted(checkpoint.parent / "ran"))
    for name in ("algorithm_state.pkl", "module_state.pkl", "class_and_ctor_args.pkl", "training.json"):
        (checkpoint / name).write_bytes(content)


def plant_with_sums(checkpoint: Path) -> None:
    """As `plant`, beside our files, and with the sums made right again."""
    whole = (checkpoint / "training.json").read_bytes()
    plant(checkpoint)
    (checkpoint / "training.json").write_bytes(whole)
    (checkpoint / SUMS).write_text(json.dumps(sums_of(checkpoint)))


@for_each(harm=[flip, cut, plant, plant_with_sums])
def test_a_damaged_checkpoint_is_passed_over_no_pickle_is_loaded_and_the_end_is_the_same(
    harm: Callable[[Path], None], whole: tuple[Path, dict[str, list[float]]], tmp_path: Path
) -> None:
    out = tmp_path / harm.__name__
    shutil.copytree(whole[0], out)
    newest = out / "checkpoints" / "training" / "step-00000292"
    harm(newest)
    assert (damage(newest) is None) == (harm is plant_with_sums)
    policy, line = run_phase(out)
    assert tensors(policy) == whole[1] and not (newest.parent / "ran").exists()
    assert (out / METRICS).read_bytes() == (whole[0] / METRICS).read_bytes()
    assert {"phase": "training", **line} == read_metrics(whole[0])[-1]


def test_a_stopped_phase_saves_a_checkpoint_and_goes_on_elsewhere_to_the_same_end(
    whole: tuple[Path, dict[str, list[float]]], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "stop").touch()
    with pytest.raises(Interrupted, match="Stopped after 64 of 192 frames"):
        run_phase(out)
    assert checkpoints(out) == ["step-00000164"]
    (out / "stop").unlink()
    out = out.rename(tmp_path / "moved")
    policy, _ = run_phase(out)
    assert tensors(policy) == whole[1]
    assert (out / METRICS).read_bytes() == (whole[0] / METRICS).read_bytes()


def test_a_phase_with_a_goal_ends_when_it_is_reached_and_one_without_goes_on(tmp_path: Path) -> None:
    goal = {"goal": 0.01, "window": 2, "goal_of": "mean", "rollout": 40, "recurrence": 20}
    frames = 100 * 5 * ITERATION
    _, line = run_phase(tmp_path / "goal", Phase(name="training", frames=frames), **goal)
    assert line["step"] < frames and line["success"] >= 0.01
    assert all(level["counted"] >= 2 for level in line["tasks"].values())
    earlier = read_metrics(tmp_path / "goal")[:-1]
    assert all(
        line["success"] is None or line["success"] < 0.01 or min(x["counted"] for x in line["tasks"].values()) < 2
        for line in earlier
    )
    dense = Phase(name="training", frames=line["step"] + 1, has_goal=False)
    _, longer = run_phase(tmp_path / "dense", dense, **goal)
    assert longer["step"] > line["step"]
