"""A Ray cluster on this machine that starts and ends nodes by itself, as one in a cloud does."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from ray_cases import DEATHS_NOTICED, free_port, is_up, slowness

HEAD_ID = "f" * 51 + "00000"  # Ray's provider of fake nodes numbers them from here
STARTS = 5  # tries: Ray waits 30 s for its own processes, too little on a busy machine
NO_COMMANDS = (
    "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
    "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude", "rsync_filter",
)  # fmt: skip
ENVIRONMENT = {
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_AUTH_MODE": "disabled",
    "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
    "RAY_FAKE_CLUSTER": "1",
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    "RAY_enable_autoscaler_v2": "1",
    **DEATHS_NOTICED,
}


def cluster_config(gcs: str, most: int) -> dict[str, Any]:
    """A config of `ray up`: a head with one core, and up to `most` workers with one core each."""
    return {
        "cluster_name": "fake", "max_workers": most, "idle_timeout_minutes": 0.1, "upscaling_speed": 10.0,
        "provider": {
            "type": "external", "use_node_id_as_ip": True, "disable_node_updaters": True,
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "disable_launch_config_check": True, "launch_multiple": True, "head_node_id": HEAD_ID, "gcs_address": gcs,
        },
        "auth": {}, "docker": {}, "file_mounts": {}, "file_mounts_sync_continuously": False,
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": most},
        },
        "head_node_type": "ray.head.default", **{key: [] for key in NO_COMMANDS},
    }  # fmt: skip


@dataclass(frozen=True)
class GrowingCluster:
    """A cluster that the autoscaler grows and shrinks.

    Attributes:
        address: of its control store.
        start: `ray start`, above all other processes.
    """

    address: str
    start: subprocess.Popen[bytes]

    def nodes(self) -> list[psutil.Process]:
        """The raylet of every worker node that lives, the oldest first; the head is not among them."""
        nodes = []
        for process in psutil.Process(self.start.pid).children(recursive=True):
            try:
                if process.name() == "raylet" and process.environ()["RAY_OVERRIDE_NODE_ID_FOR_TESTING"] != HEAD_ID:
                    nodes.append(process)
            except psutil.NoSuchProcess:
                continue
        return sorted(nodes, key=lambda node: node.create_time())

    def wait_for_nodes(self, n: int, seconds: float) -> None:
        """Until so many worker nodes live; fails after that time on a machine with nothing else to do."""
        spent = 0.0
        while len(self.nodes()) != n:
            assert spent < seconds, f"{len(self.nodes())} worker nodes after {seconds} s, not {n}"
            time.sleep(0.1)
            spent += 0.1 / slowness()


def trials_on(node: psutil.Process) -> list[psutil.Process]:
    """The processes of trials on a worker node."""
    workers = []
    for process in node.children(recursive=True):
        try:
            if "ImplicitFunc" in " ".join(process.cmdline()):
                workers.append(process)
        except psutil.NoSuchProcess:
            continue
    return workers


@contextmanager
def growing_cluster(most: int) -> Iterator[GrowingCluster]:
    """A head with one core, and up to `most` worker nodes with one core each while work waits for them."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as home:
        cluster = next(filter(None, (_started(Path(home) / str(number), most) for number in range(STARTS))), None)
        assert cluster is not None, f"Ray was late {STARTS} times"
        try:
            yield cluster
        finally:
            _end(cluster.start, Path(home))


def _started(home: Path, most: int) -> GrowingCluster | None:
    """The cluster with its files in `home`; None: Ray's own processes were late."""
    home.mkdir()
    port = free_port()
    address = f"127.0.0.1:{port}"
    (home / "cluster.json").write_text(json.dumps(cluster_config(address, most)))
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}", "--num-cpus=1",
        "--include-dashboard=false", f"--dashboard-agent-listen-port={free_port()}", "--min-worker-port=0",
        "--max-worker-port=0", f"--temp-dir={home}", f"--autoscaling-config={home / 'cluster.json'}",
        f"--ray-client-server-port={free_port()}",
    ]  # fmt: skip
    with (home / "output.txt").open("w") as output:
        cluster = subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, env={**os.environ, **ENVIRONMENT}
        )
    if not is_up(cluster, home / "output.txt", "timed out during startup"):
        _end(cluster, home)
        return None
    return GrowingCluster(address, cluster)


def _end(start: subprocess.Popen[bytes], home: Path) -> None:
    """End the cluster with its files in `home` and all its nodes, which would wait a minute for a head that is gone."""
    processes = [process for process in psutil.process_iter() if _names(process, home)]
    with suppress(psutil.NoSuchProcess):
        processes += psutil.Process(start.pid).children(recursive=True)
    start.kill()
    start.wait()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert not psutil.wait_procs(processes, timeout=15 * slowness())[1]


def _names(process: psutil.Process, home: Path) -> bool:
    """Whether the command line of a process names a file in `home`: a start that failed leaves such processes."""
    try:
        return f"{home}/" in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
