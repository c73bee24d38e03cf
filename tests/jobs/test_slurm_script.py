"""The Slurm script: its options exist, and with a scheduler that runs all steps here, so does its cluster."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cluster_file_cases import commands, unknown_options
from job_cases import TINY
from ray_cases import slowness

OPTIONS = {
    "account": r"[\w-]+", "array": r"[\d,%-]+", "constraint": r".+", "cpus-per-gpu": r"\d+", "cpus-per-task": r"\d+",
    "error": r".+", "exclude": r".+", "exclusive": r"(user|mcs)?", "gpus": r"(\w+:)?\d+", "gres": r".+",
    "gpus-per-node": r"(\w+:)?\d+", "job-name": r"\S+", "mail-type": r"[A-Z,_0-9]+", "mail-user": r".+",
    "mem": r"\d+[KMGT]?", "mem-per-cpu": r"\d+[KMGT]?", "nodelist": r".+", "nodes": r"\d+(-\d+)?",
    "ntasks": r"\d+", "ntasks-per-node": r"\d+", "open-mode": r"append|truncate", "output": r"\S+",
    "partition": r"[\w,-]+", "qos": r"\w+", "requeue": "", "signal": r"([BR]+:)?(\w+)(@\d+)?",
    "time": r"(\d+-)?\d+(:\d+){0,2}", "tmp": r"\d+[KMGT]?", "wckey": r"\w+",
}  # fmt: skip
"""Long options of sbatch that take effect in a script, and their values (sbatch's manual)."""
FAKES = {
    "scontrol": """#!/bin/bash
case "$1" in
    show) printf '%s\\n' ${3//,/ } ;;
    requeue) echo "requeued $2" >> requeued.txt ;;
esac
""",
    "srun": """#!/bin/bash
while [[ "$1" == --* ]]; do shift; done
trap 'kill "$step"; wait "$step"' TERM
"$@" & step=$!
wait "$step"
""",
}
"""A scheduler on which every step of the job runs on this machine, on the nodes that are all called 127.0.0.1."""


@pytest.fixture
def script(root: Path) -> str:
    return (root / "jobs" / "cluster" / "slurm.sh").read_text(encoding="utf-8")


def option_mistakes(script: str) -> list[str]:
    """The lines of options that sbatch would not take."""
    wrong = []
    for line in re.findall(r"^#SBATCH (.*)$", script, re.MULTILINE):
        name, _, value = line.removeprefix("--").partition("=")
        if not line.startswith("--") or not re.fullmatch(OPTIONS.get(name, "(?!)"), value.split(" ")[0]):
            wrong.append(line)
    return wrong


def test_its_options_exist_and_a_misspelt_one_is_named(script: str) -> None:
    assert option_mistakes(script) == []
    names = re.findall(r"^#SBATCH --([\w-]+)", script, re.MULTILINE)
    assert len(names) > 8
    for name in names:
        (mistake,) = option_mistakes(script.replace(f"--{name}", f"--{name[:-1]}", 1))
        assert mistake.startswith(f"--{name[:-1]}")
    assert option_mistakes(script.replace("--nodes=2", "--nodes=two")) == ["--nodes=two"]


def test_it_is_bash_and_its_commands_have_options_that_exist(root: Path, script: str) -> None:
    subprocess.run(["bash", "-n", str(root / "jobs" / "cluster" / "slurm.sh")], check=True)
    starts = commands(script, "ray", "start")
    assert len(starts) == 2 and [line for arguments in starts for line in unknown_options(arguments)] == []
    (options,) = re.findall(r"^node_options=\((.*)\)$", script, re.MULTILINE)
    assert unknown_options([re.sub(r'="\$\w+"', "=1", word).strip('"') for word in options.split()]) == []
    assert "--dashboard-host=127.0.0.1" in starts[0] and "RAY_AUTH_MODE=token" in script


def run(folder: Path, script: str, *command: str) -> subprocess.Popen[bytes]:
    """The script in `folder` on two nodes that are this machine, with another command than its own."""
    programs = folder / "programs"
    for name, text in FAKES.items():
        programs.mkdir(exist_ok=True)
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (folder / ".venv").mkdir(exist_ok=True)
    if not (folder / ".venv" / "bin").exists():
        (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    quoted = " ".join(f"'{word}'" for word in command)
    (folder / "slurm.sh").write_text(re.sub(r"^COMMAND=\(.*\)$", f"COMMAND=({quoted})", script, flags=re.MULTILINE))
    job = {
        "SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "127.0.0.1,127.0.0.1", "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "1",
    }  # fmt: skip
    environment = {**os.environ, **job, "PATH": f"{programs}:{os.environ['PATH']}"}
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(
            ["bash", "slurm.sh"], cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )


def wait(process: subprocess.Popen[bytes], folder: Path, seconds: float) -> int:
    """The exit code; nothing below the script is left."""
    children = psutil.Process(process.pid).children(recursive=True)
    try:
        code = process.wait(seconds * slowness())
    except subprocess.TimeoutExpired:
        pytest.fail((folder / "output.txt").read_text())
    assert not psutil.wait_procs(children, timeout=30 * slowness())[1]
    return code


@pytest.fixture
def rays_folder() -> Iterator[None]:
    """Removes what Ray leaves on a node."""
    yield
    shutil.rmtree(f"/tmp/ray-{os.getpid()}", ignore_errors=True)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("rays_folder")
@pytest.mark.timeout(300)
def test_a_sweep_on_its_cluster_is_warned_goes_back_to_the_queue_and_ends(script: str, tmp_path: Path) -> None:
    command = (
        "polyray", "sweep", "polytropon", "dual_speed", "--trials", "4", "--out", "runs/speeds", *TINY,
        "training.steps=60", "evaluation.max_examples=1",
    )  # fmt: skip
    process = run(tmp_path, script, *command)
    while process.poll() is None and not list(tmp_path.glob("runs/speeds/trials/*/checkpoints/step-*")):
        time.sleep(0.1)
    process.send_signal(signal.SIGUSR1)
    output = tmp_path / "output.txt"
    assert wait(process, tmp_path, 60) == 138, output.read_text()
    assert (tmp_path / "requeued.txt").read_text() == f"requeued {os.getpid()}\n"
    assert not list(tmp_path.glob(".ray-token-*"))
    assert wait(run(tmp_path, script, *command), tmp_path, 120) == 0, output.read_text()
    assert "Best: trial" in output.read_text()
