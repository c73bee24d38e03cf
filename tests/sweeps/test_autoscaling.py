"""A sweep on a cluster that grows for it, one of whose nodes dies, on real Ray with nodes on this machine."""

import json
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from autoscaling_cases import GrowingCluster, growing_cluster, trials_on
from job_cases import TINY
from ray_cases import Run, finish

from polyray.sweeps.folder import open_sweep
from polyray.sweeps.trials import read_rows

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(180)]
SPACE = """about: both speeds
job: polytropon
searcher: random
fields:
  training.lr: {loguniform: [0.001, 0.1]}
  training.routing_lr: {loguniform: [0.001, 0.1]}
"""
STEPS, EVERY = 96, 8
N_TRIALS, N_NODES = 7, 2
LENGTH = (
    *TINY, f"training.steps={STEPS}", f"training.report_every={EVERY}", f"training.save_every={EVERY}",
    f"evaluation.every={EVERY}", "evaluation.max_examples=1",
)  # fmt: skip


def folder_of(worker: psutil.Process, out: Path) -> Path | None:
    """The folder of the trial that a process holds the lock of."""
    files = [Path(file.path) for file in worker.open_files() if file.path.startswith(str(out / "trials"))]
    return out / "trials" / files[0].relative_to(out / "trials").parts[0] if files else None


def steps_of(folder: Path) -> list[int]:
    """Every step that a trial reported, in the order of time."""
    return [json.loads(line)["step"] for line in (folder / "progress.jsonl").read_text().splitlines()]


def trial_with_a_checkpoint(cluster: GrowingCluster, out: Path, sweep: Run) -> tuple[psutil.Process, Path]:
    """A worker node at work, and the folder of the trial on it, which has saved a checkpoint."""
    while sweep.poll() is None:
        for node in cluster.nodes():
            for worker in trials_on(node):
                folder = folder_of(worker, out)
                if folder is not None and len(list((folder / "checkpoints").glob("step-*"))) > 0:
                    return node, folder
        time.sleep(0.05)
    pytest.fail(f"no node had a trial with a checkpoint: {sweep.output.read_text()}")


def test_a_sweep_grows_its_cluster_and_outlives_a_node_and_the_cluster_shrinks_again(tmp_path: Path) -> None:
    space, out = tmp_path / "speeds.yaml", tmp_path / "sweep"
    space.write_text(SPACE)
    with growing_cluster(N_NODES) as cluster, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        assert not cluster.nodes()
        sweep = Run(
            "sweep", "polytropon", str(space), "--trials", str(N_TRIALS), "--out", str(out),
            "--address", cluster.address, *LENGTH,
        )  # fmt: skip
        cluster.wait_for_nodes(N_NODES, seconds=60)
        node, folder = trial_with_a_checkpoint(cluster, out, sweep)
        before = {node.pid for node in cluster.nodes()}
        finished = [row.number for row in read_rows(open_sweep(out)) if row.state == "done"]
        node.kill()
        reported = steps_of(folder)
        cluster.wait_for_nodes(N_NODES, seconds=60)
        assert {node.pid for node in cluster.nodes()} - before, "no node came in the place of the one that died"
        finish(sweep)
        cluster.wait_for_nodes(0, seconds=60)
    rows = read_rows(open_sweep(out))
    assert [row.state for row in rows] == ["done"] * N_TRIALS
    again = steps_of(folder)[len(reported) :]
    assert reported[-1] >= EVERY and again[0] > EVERY, "the trial began anew"
    repeats = {row.number: sum(n - 1 for n in Counter(steps_of(row.folders[0])).values()) for row in rows}
    assert not any(repeats[number] for number in finished)
    assert sum(repeats.values()) <= 2, repeats  # lines since the newest checkpoint
