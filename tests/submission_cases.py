"""A Ray cluster that takes jobs and wants a token, on ports of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ray_cases import end_cluster, free_port, is_up

TRIES = 3  # Ray waits 30 s for its own processes, too little on a busy machine


@dataclass(frozen=True)
class Head:
    """A running head: the address of its job server, the port of its control store, and the file with its token."""

    address: str
    port: int
    token: Path
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        """Environment of a user who has the token."""
        mine = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            "RAY_API_SERVER_ADDRESS": self.address,
        }
        return {**stranger_environment(), **mine}


def stranger_environment() -> dict[str, str]:
    """Environment of a user without any token, in which only Polyray is found."""
    left_out = ("RAY_", "POLYRAY_", "OMP_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**variables, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0"}


@contextmanager
def token_head(cpus: int = 2) -> Iterator[Head]:
    """A cluster in token mode; after the block none of its processes is left."""
    with tempfile.TemporaryDirectory(prefix="ray-") as home:
        token = Path(home) / "token"
        token.write_text("a-token-of-this-test-alone-0123456789\n")
        token.chmod(0o600)
        for number in range(1, TRIES + 1):
            started = _start(Path(home) / str(number), token, cpus)
            if isinstance(started, Head):
                break
        else:
            raise AssertionError(started)
        try:
            yield started
        finally:
            end_cluster(started.process)


def _start(folder: Path, token: Path, cpus: int) -> Head | str:
    """A head in `folder`, or what it said when it came too late."""
    folder.mkdir()
    ports = {
        name: free_port() for name in ("port", "dashboard-port", "dashboard-agent-listen-port", "metrics-export-port")
    }
    options = [f"--{name}={port}" for name, port in ports.items()]
    options += ["--ray-client-server-port", str(free_port()), "--min-worker-port=0", "--max-worker-port=0"]
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", f"--num-cpus={cpus}"]
    environment = {**stranger_environment(), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    environment |= {"HOME": str(folder)}
    environment.pop("PYTHONPATH")  # what is submitted brings Polyray along
    output = folder / "output.txt"
    with output.open("w") as file:
        cluster = subprocess.Popen(
            [*map(str, command), *options, f"--temp-dir={folder}"], stdout=file, stderr=file, env=environment,
            start_new_session=True,
        )  # fmt: skip
    if not is_up(cluster, output):
        return output.read_text()
    return Head(f"http://127.0.0.1:{ports['dashboard-port']}", ports["port"], token, cluster)
