"""Sweeps whose trials have a group of workers each, on a real cluster that is joined and that others use, too."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from job_cases import BOTH_SPEEDS, TINY
from ray_cases import Run, finish, head

from polyray.sweeps.folder import open_sweep
from polyray.sweeps.trials import read_rows

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]
LENGTH = (*TINY, "training.steps=8", "evaluation.max_examples=1", "workers.n=2")
NEIGHBOUR = """
import json, logging, sys
import ray
from ray.util import placement_group, placement_group_table, remove_placement_group
ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
core = None
for line in sys.stdin:
    if line == "take\\n":
        core = placement_group([{"CPU": 1}])
        ray.get(core.ready())
    elif line == "give\\n":
        remove_placement_group(core)
    groups = [group for group in placement_group_table().values() if group["state"] != "REMOVED"]
    print(json.dumps([len(group["bundles"]) for group in groups if "CPU" in group["bundles"][0]]), flush=True)
"""


class Neighbour:
    """Another driver on the cluster, which may take a core."""

    def __init__(self, address: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", NEIGHBOUR, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def groups(self, command: str = "look") -> list[int]:
        """The sizes of the groups of cores that are taken or waited for, after `take` or `give` of a core."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        sizes: list[int] = json.loads(self._process.stdout.readline())
        return sizes

    def leave(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with head() as started, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        yield started


@pytest.fixture
def neighbour(address: str) -> Iterator[Neighbour]:
    process = Neighbour(address)
    yield process
    process.leave()


def start(out: Path, address: str) -> Run:
    space = out.parent / "speeds.yaml"
    space.write_text(BOTH_SPEEDS)
    return Run("sweep", "polytropon", str(space), "--trials", "2", "--out", str(out), "--address", address, *LENGTH)


def wait_until(condition: Callable[[], bool], process: Run | None = None) -> None:
    """Until it holds; it has to while the process runs, or within a minute."""
    ends = time.monotonic() + 60
    while not condition():
        assert process.poll() is None if process is not None else time.monotonic() < ends
        time.sleep(0.2)


def test_trials_with_two_workers_each_come_to_their_end(address: str, tmp_path: Path) -> None:
    finish(start(tmp_path / "sweep", address))
    assert [row.state for row in read_rows(open_sweep(tmp_path / "sweep"))] == ["done", "done"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_ends_while_a_trial_waits_for_its_workers_leaves_nothing_in_the_cluster(
    number: signal.Signals, address: str, neighbour: Neighbour, tmp_path: Path
) -> None:
    others = neighbour.groups("take")
    assert others == [1], "an earlier sweep left a group there"
    sweep = start(tmp_path / "sweep", address)
    wait_until(lambda: 2 in neighbour.groups(), sweep)
    sweep.send(number)
    code = sweep.wait()
    assert code == (130 if number == signal.SIGINT else -signal.SIGKILL), sweep.output.read_text()
    wait_until(lambda: neighbour.groups() == [1])
    neighbour.groups("give")
    time.sleep(3)  # a controller that outlives its job would ask again
    assert neighbour.groups() == []
