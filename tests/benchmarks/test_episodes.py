"""The table of episodes until success: intervals over seeds, and trainings that go on where they were stopped."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks import babyai_episodes
from benchmarks.babyai_episodes import Cell, rows
from benchmarks.intervals import geometric_interval, mean_interval, ratio_interval
from benchmarks.trainings import Training, hours_of
from polyray.runs.result import write_result


def test_intervals_worked_by_hand() -> None:
    # mean 4, deviation 2, so 2 / sqrt(3) times 4.3027, the 97.5 % point of Student's t with 2 degrees of freedom
    assert mean_interval([2.0, 4.0, 6.0]) == pytest.approx((4.0, 4 - 4.96829, 4 + 4.96829), rel=1e-4)
    assert mean_interval([5.0]) == (5.0, -math.inf, math.inf)
    assert geometric_interval([1.0, 10.0, 100.0]) == pytest.approx((10.0, 10 / 10**2.48414, 10 * 10**2.48414), rel=1e-3)
    assert ratio_interval([4.0, 10.0], [2.0, 5.0]) == pytest.approx((2.0, 2.0, 2.0))


def write_run(out: Path, reached: list[tuple[int, float]], done: bool) -> None:
    """A run folder whose lines of metrics have these numbers of episodes and successes."""
    out.mkdir(parents=True)
    lines = [
        {"phase": "training", "step": number, "episodes": episodes, "success": success,
         "tasks": {"a": {"counted": episodes // 2}, "b": {"counted": episodes // 2}}}
        for number, (episodes, success) in enumerate(reached)
    ]  # fmt: skip
    (out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    progress = [{"phase": "training", "step": number, "seconds": {"iteration": 1800}} for number in range(len(reached))]
    (out / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in progress))
    if done:
        write_result(out, "babyai", "done", 1.0, {"mean": 0.98})


def cell(folder: Path, way: str, seeds: list[list[tuple[int, float]]], density: str = "dense") -> Cell:
    trainings = {}
    for seed, reached in enumerate(seeds):
        out = folder / f"{way}-{density}-{seed}"
        write_run(out, reached, done=reached[-1][1] >= 0.99)
        trainings[seed] = Training("babyai", (), out, 10, hours=1.2)
    return Cell(way=way, density=density, trainings=trainings)


def test_the_table_has_geometric_means_ratios_of_equal_seeds_and_says_who_did_not_reach_a_mark(tmp_path: Path) -> None:
    early = (1000, 1.0)  # before every level has a whole window of episodes
    shared = cell(tmp_path, "shared", [[early, (4000, 0.5), (8000, 0.99)], [early, (4000, 0.5), (18000, 0.99)]])
    private = cell(tmp_path, "private", [[early, (5000, 0.7), (16000, 1.0)], [early, (9000, 0.6)]])
    table = {row["way"]: row for row in rows([shared, private])}
    assert table["shared"]["99%"].startswith("12,000 [") and table["shared"]["50%"] == "4,000 [4,000, 4,000]"
    assert table["shared"]["over shared"] == "1.00 [1.00, 1.00]" and table["shared"]["unseen, %"] == "98.0 [98.0, 98.0]"
    assert table["private"]["99%"] == "16,000 (1 of 2)" and table["private"]["70%"] == "5,000 (1 of 2)"
    assert table["private"]["over shared"] == "2.00"
    unfinished = private.trainings[1]
    assert unfinished.result is None and hours_of(unfinished.out) == 1.0 and not unfinished.is_over
    unfinished._hours_before = 1.2
    assert unfinished.is_over, "its hours are over"


def test_each_way_is_compared_with_shared_skills_of_its_own_density(tmp_path: Path) -> None:
    episodes = {  # one skill for all needs fewer episodes if it is dense, and so does a learned allocation
        ("shared", "sparse"): 11_445, ("shared", "dense"): 6_720, ("skilled", "sparse"): 12_643,
        ("skilled", "dense"): 5_855,
    }  # fmt: skip
    cells = [cell(tmp_path, way, [[(1000, 0.5), (n, 0.99)]], density) for (way, density), n in episodes.items()]
    ratios = {(row["way"], row["density"]): row["over shared"] for row in rows(cells)}
    assert ratios == {**dict.fromkeys(episodes, "1.00"), ("skilled", "sparse"): "1.10", ("skilled", "dense"): "0.87"}
    everything = babyai_episodes.parser().parse_args([])
    assert episodes.keys() <= {(way, density) for way in everything.ways for density in everything.densities}


@pytest.mark.agents
@pytest.mark.timeout(900)
def test_a_tiny_table_is_made_and_a_second_start_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = [
        "--ways", "shared", "skilled", "--densities", "dense", "--seeds", "0", "--levels", "GoToObjS4",
        "GoToRedBallNoDists", "--draw", "episodes", "--init", "1", "--frames", "1500", "--out", str(tmp_path), "--json",
        "--options", "training.environments=8", "evaluation.episodes=4", "policy.channels=8", "policy.mission=8",
        "policy.memory=4",
    ]  # fmt: skip
    babyai_episodes.main(tiny)
    first: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(row["way"], row["seeds"]) for row in first["rows"]] == [("shared", 1), ("skilled", 1)]
    assert all(0 <= float(row["unseen, %"]) <= 100 for row in first["rows"])
    before = (tmp_path / "skilled-dense-0.txt").read_bytes()
    babyai_episodes.main(tiny)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == first
    assert (tmp_path / "skilled-dense-0.txt").read_bytes() == before
