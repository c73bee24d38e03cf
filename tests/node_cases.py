"""Nodes of one Ray cluster on this machine that share no folder but Ray's own, as machines without a common disk."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ray_cases import DEATHS_NOTICED, end_cluster, free_port, is_up
from shelf_filesystem import PROTOCOL, ROOT

STARTS = 5  # tries: Ray waits 30 s for its own processes, too little on a busy machine
ENTRY_POINTS = f"[fsspec.specs]\n{PROTOCOL} = shelf_filesystem:ShelfFileSystem\n"


class Node:
    """A node with a home of its own; the homes of the others are empty for its processes."""

    def __init__(self, command: list[str], home: Path, hidden: list[Path], variables: Mapping[str, str]) -> None:
        home.mkdir(parents=True)
        self.home, self._output = home, home / "output.txt"
        mounts = [f"mount -t tmpfs none {folder}" for folder in hidden if can_hide()]
        script = " && ".join([*mounts, 'exec "$0" "$@"'])
        start = ["unshare", "--mount"] if mounts else []
        ray = str(Path(sys.executable).with_name("ray"))
        environment = {**os.environ, **variables, "HOME": str(home), "TMPDIR": str(home)}
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [*start, "sh", "-c", script, ray, "start", "--block", *command], cwd=home, env=environment,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def is_up(self) -> bool:
        """Wait until it is up; False: it ended instead."""
        return is_up(self.process, self._output)

    def kill(self) -> None:
        """Let the node and its disk be gone."""
        end_cluster(self.process)
        shutil.rmtree(self.home, ignore_errors=True)


class Cluster:
    """A head without cores, and nodes with one core each.

    Attributes:
        address: of the control store.
        root: folder of the objects that all nodes reach.
    """

    def __init__(self, root: Path, ray: Path) -> None:
        self.root, self._ray, self.nodes = root, ray, list[Node]()
        self.address = f"127.0.0.1:{free_port()}"
        (root / "objects").mkdir(parents=True)
        specs = root / "specs" / "shelf-1.0.dist-info"
        specs.mkdir(parents=True)
        (specs / "entry_points.txt").write_text(ENTRY_POINTS)
        (specs / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
        path = [str(specs.parent), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        self._variables = {
            **DEATHS_NOTICED,
            "RAY_AUTH_MODE": "disabled",
            "PYTHONPATH": os.pathsep.join(path),
            ROOT: str(root / "objects"),
        }

    def start(self, name: str, *options: str) -> Node:
        """Another node, up to a few tries."""
        for number in range(STARTS):
            hidden = [node.home for node in self.nodes if node.home.exists()]
            node = Node(list(options), self.root / f"{name}{number}", hidden, self._variables)
            if node.is_up():
                self.nodes.append(node)
                return node
            output = (node.home / "output.txt").read_text()
        raise AssertionError(output)

    def add(self, name: str) -> Node:
        """A node with one core."""
        return self.start(name, f"--address={self.address}", "--num-cpus=1", *WORKER_PORTS)

    def start_head(self) -> None:
        """The node with the control store."""
        port = self.address.rpartition(":")[2]
        self.start("head", "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false",
                   f"--temp-dir={self._ray}", *WORKER_PORTS)  # fmt: skip


WORKER_PORTS = ("--min-worker-port=0", "--max-worker-port=0")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster with its head alone; all of its nodes are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="pn-") as root, tempfile.TemporaryDirectory(prefix="pr-") as ray:
        nodes = Cluster(Path(root), Path(ray))
        try:
            nodes.start_head()
            yield nodes
        finally:
            for node in nodes.nodes:
                if node.process.poll() is None:
                    node.kill()


def can_hide() -> bool:
    """Whether this user may give a process mounts of its own."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0
