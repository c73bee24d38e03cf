"""The reaper ends the processes of a cluster that outlive their driver, and no others."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyray.cluster import reaper

HOLD = "import sys, time; file = open(sys.argv[1], 'w'); print('open', flush=True); time.sleep(60)"


def holding(file: Path) -> subprocess.Popen[str]:
    """A process that has opened `file`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "open\n"
    return process


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """A process with a file in the folder `home`, and one with a file in `home-2`."""
    folders = [tmp_path / "home", tmp_path / "home-2"]
    for folder in folders:
        folder.mkdir()
    started = [holding(folder / "log") for folder in folders]
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are read from /proc")
def test_stragglers_have_a_file_of_the_cluster_open_and_are_neither_driver_nor_reaper(
    processes: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    home, straggler = str(tmp_path / "home"), processes[0].pid
    with (tmp_path / "home" / "of-this-process").open("w"):
        assert reaper.stragglers(home, driver=os.getppid()) == [straggler]
        assert reaper.stragglers(home, driver=straggler) == []


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are read from /proc")
def test_the_end_of_the_driver_kills_the_stragglers_and_removes_the_folder(
    processes: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    command = [sys.executable, "-I", reaper.__file__, str(tmp_path / "home")]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as reaping:
        assert processes[0].poll() is None and reaping.stdin is not None
        reaping.stdin.close()  # as when the driver ends
        assert processes[0].wait(timeout=20) != 0
    assert reaping.returncode == 0 and not (tmp_path / "home").exists()
    assert processes[1].poll() is None and (tmp_path / "home-2").exists()
